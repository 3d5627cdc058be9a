"""Tables of models show what an audit would measure, or why it cannot."""

from zooaudit.views.model_tables import model_tables
from zooaudit.views.tables import plain

from tests.client.samples import model_detail


def test_models_have_a_table_of_their_depth():
    assert plain(model_tables(model_detail())).splitlines()[-1].split() == [
        "layer1.0", "Early", "NCHW", "64", "56", "56"
    ]  # fmt: skip
    assert plain(model_tables(model_detail("A worker is finding them."))).splitlines()[-1] == (
        "No blocks: A worker is finding them."
    )
