"""Reports, audits and comparisons of the clients show themselves, and are equal to the contract's own."""

import copy
import itertools
import pickle

import pytest
import zooaudit
from zooaudit import Report, contract, results
from zooaudit.contract import PARTS

from tests.client.samples import audit, comparison, report, whole_report


@pytest.mark.parametrize("make", [report, audit, comparison, whole_report])
def test_a_record_is_equal_to_the_contract_s_of_the_same_content(make):
    record = make()
    plain_record = getattr(contract, type(record).__name__).model_validate_json(record.model_dump_json())
    assert type(record) is getattr(zooaudit, type(record).__name__)
    assert type(plain_record) is not type(record)
    assert record == plain_record
    assert plain_record == record
    assert record.model_dump_json() == plain_record.model_dump_json()
    first_field = next(iter(type(record).model_fields))
    other = plain_record.model_copy(update={first_field: None})
    assert record != other
    assert other != record
    assert record != "another kind of thing"


@pytest.mark.parametrize("make", [report, audit, comparison])
def test_a_record_stays_what_it_is_when_it_is_copied_or_pickled(make):
    record = make()
    assert isinstance(record, getattr(contract, type(record).__name__))
    pickled = pickle.loads(pickle.dumps(record))  # noqa: S301
    for other in (copy.copy(record), copy.deepcopy(record), record.model_copy(), pickled):
        assert type(other) is type(record)
        assert other == record
        assert repr(other) == repr(record)


def test_lists_of_audits_are_equal_too():
    listed = results.AuditList(audits=(audit(),), total=1, next_cursor=None)
    plain_list = contract.AuditList.model_validate_json(listed.model_dump_json())
    assert listed == plain_list
    assert plain_list == listed
    assert hash(listed) == hash(plain_list)


def test_a_report_shows_itself_in_a_few_lines():
    text = repr(whole_report())
    assert text == str(whole_report())
    lines = text.splitlines()
    assert lines[0] == "timm/resnet18.a1_in1k (pretrained weights)"
    assert [line.split()[0] for line in lines[2:7]] == list(PARTS)
    assert [line.split(":")[0] for line in lines[-2:]] == ["Top-1 agreement, shifts", "Top-1 agreement, rotations"]
    assert len(lines) <= 12
    assert max(map(len, lines)) < 130


def test_an_audit_shows_itself_in_a_line():
    assert repr(audit("running", phase="measuring", done=1, total=4)) == (
        f"<Audit {audit().id} timm/resnet18.a1_in1k: measuring 1/4 forward images (25 %)>"
    )


def test_a_comparison_shows_its_scores_and_how_they_relate_to_accuracy():
    lines = repr(comparison()).splitlines()
    assert lines[0] == "Translation: channel equivariance, pretrained weights"
    assert lines[2].split() == ["timm/resnet18.a1_in1k", "71.50", *["0.910", "±0.010"] * 5]
    (early,) = (line for line in lines if line.startswith("Early"))
    assert early.split("  ")[0] == "Early"
    assert "-0.50 [-0.90, +0.20]  0.040" in early
    assert repr(comparison("No audit has an accuracy.")).splitlines()[-1] == "No audit has an accuracy."


@pytest.mark.parametrize("make", [report, comparison, audit, whole_report])
def test_html_is_escaped(make):
    evil = "<script>alert(1)</script>"
    record = make()
    if isinstance(record, Report):
        record = record.model_copy(update={"model": record.model.model_copy(update={"name": evil})})
    elif hasattr(record, "audits"):
        audits = tuple(one.model_copy(update={"model": evil}) for one in record.audits)
        record = record.model_copy(update={"audits": audits})
    else:
        record = record.model_copy(update={"request": record.request.model_copy(update={"model": evil})})
    shown = record._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert shown.count("<table>") == shown.count("</table>") > 0


def test_html_shows_the_same_cells_as_text():
    shown = whole_report()._repr_html_()
    for cell in itertools.chain.from_iterable(line.split("  ") for line in repr(whole_report()).splitlines()[2:7]):
        assert cell.strip() in shown
