"""Tables of models show what an audit would measure, or why it cannot; on a terminal tables fit its width."""

import pytest
from zooaudit.contract import ModelDetail
from zooaudit.views.audit_tables import audits_table
from zooaudit.views.comparison_tables import comparison_tables
from zooaudit.views.model_tables import model_tables
from zooaudit.views.report_tables import report_tables
from zooaudit.views.tables import Table, fitted, plain
from zooaudit.views.text import ENDS, HALF_WIDTH, with_half_width

from tests.client.samples import audit, comparison, model_detail, report, whole_report


def test_models_have_a_table_of_their_depth():
    assert plain(model_tables(model_detail())).splitlines()[-1].split() == [
        "layer1.0", "Early", "NCHW", "64", "56", "56"
    ]  # fmt: skip
    assert plain(model_tables(model_detail("A worker is finding them."))).splitlines()[-1] == (
        "No blocks: A worker is finding them."
    )


def table_width(table: Table) -> int:
    """Measure the widest line, without title and notes."""
    return max(map(len, plain([Table(table.columns, table.rows, numbers_from=table.numbers_from)]).splitlines()))


def test_a_list_of_audits_gives_up_columns_before_names():
    names = [audit(status, f"{place:x}" * 32) for place, status in enumerate(("running", "succeeded"))]
    whole = audits_table(names)
    assert fitted(whole, 200) is whole
    assert whole.rows[1][0] == "1" * 32
    for width, columns in ((120, 7), (80, 6), (60, 4)):
        narrow = fitted(whole, width)
        assert narrow is not None
        assert (len(narrow.columns), table_width(narrow) <= width) == (columns, True)
        assert narrow.rows[1][0] in ("1" * 8, "1" * 32)
        assert narrow.rows[1][2] == "timm/resnet18.a1_in1k"
    shortest = fitted(whole, 46)
    assert shortest is not None
    assert shortest.rows[1][2] == "timm/r…1_in1k"
    assert fitted(whole, 40) is None  # no name could be told from another


def test_a_comparison_gives_up_intervals_but_no_digit_of_a_number():
    whole = comparison_tables(comparison())[0]
    assert whole.rows[0][2:] == ["0.910 ±0.010"] * 5
    narrow = fitted(whole, 80)
    assert narrow is not None
    assert narrow.rows[0] == ["timm/resnet18.a1_in1k", "71.50", *["0.910"] * 5]
    assert not any("±" in note for note in narrow.notes)
    narrowest = fitted(whole, 60, wraps_head=True)
    assert narrowest is not None
    assert narrowest.rows[0] == ["timm/res….a1_in1k", "71.50", *["0.910"] * 5]


def test_compared_audits_of_one_model_are_told_apart_by_their_ids():
    audits = comparison().audits
    twin = audits[0].model_copy(update={"id": "f" * 32})
    table = comparison_tables(comparison().model_copy(update={"audits": (*audits, twin)}))[0]
    names = [row[0] for row in table.rows]
    assert len(set(names)) == len(audits) + 1
    assert names[-1] == f"{twin.model} (ffffffff)"
    assert names[1] == comparison_tables(comparison())[0].rows[1][0]


@pytest.mark.parametrize("table", report_tables(whole_report()) + comparison_tables(comparison()))
def test_every_table_of_scores_fits_80_columns(table):
    narrow = fitted(table, 80, wraps_head=True)
    assert narrow is not None
    assert len(narrow.rows) == len(table.rows)


def test_a_long_list_of_tags_is_wrapped_below_itself():
    tags = tuple(f"a{place}_in1k" for place in range(30))
    detail = ModelDetail.model_validate(model_detail().model_dump() | {"tags": tags})
    narrow = fitted(model_tables(detail)[0], 60)
    assert narrow is not None
    assert table_width(narrow) <= 60
    place = [row[0] for row in narrow.rows].index("Pretrained")
    assert " ".join(row[1] for row in narrow.rows[place:]) == ", ".join(tags)
    assert {row[0] for row in narrow.rows[place + 1 :]} == {""}


def test_one_image_is_singular():
    one = report().model_copy(update={"images": report().images.model_copy(update={"count": 1})})
    assert report_tables(one)[0].notes[0].startswith("1 image of synthetic, seed 0;")
    both = comparison().model_copy(update={"method": comparison().method.model_copy(update={"num_images": 1})})
    assert comparison_tables(both)[1].notes[0].startswith("1 image of synthetic, seed 0;")


def test_the_ends_of_an_interval_that_1_cuts_off_stand_in_brackets():
    source = report()
    scores = source.parts["Late"].rotation.model_copy(update={"channel": 0.99, "channel_interval": (0.96, 1.0)})
    late = source.parts["Late"].model_copy(update={"rotation": scores})
    changed = source.model_copy(update={"parts": source.parts | {"Late": late}})
    table = report_tables(changed)[0]
    row = dict(zip(table.columns, table.rows[2], strict=True))
    assert row["Rotation channel"] == "0.990 [0.960, 1.000]"
    assert ENDS in table.notes
    assert ENDS not in report_tables(source)[0].notes
    bare = table.narrower[1]
    assert bare.rows[2][bare.columns.index("Rot. channel")] == "0.990"
    assert not {ENDS, HALF_WIDTH} & set(bare.notes)


@pytest.mark.parametrize(("field", "words"), [("translations_px", "no shifts, "), ("rotations_deg", ", no rotations;")])
def test_what_was_not_measured_is_said_as_people_say_it(field: str, words: str):
    method = report().method.model_copy(update={field: ()})
    line = report_tables(report().model_copy(update={"method": method}))[0].notes[0]
    assert words in line
    assert "none" not in line


def test_a_report_has_held_out_and_aligned_scores_beside_the_others():
    source = whole_report()
    table = report_tables(source)[0]
    late = source.parts["Late"]
    assert late.translation.aligned
    row = dict(zip(table.columns, table.rows[2], strict=True))
    for transform in ("translation", "rotation"):
        score = getattr(late, transform)
        for name, words in (("channel", "channel"), ("layer", "layer"), ("layer_held_out", "held out")):
            cell = row[f"{transform.capitalize()} {words}"]
            assert cell == with_half_width(getattr(score, name), getattr(score, f"{name}_interval"))
    assert row["Translation aligned"] == f"{late.translation.aligned.channel:.3f}"
    assert [column for column in report_tables(report())[0].columns if "held" in column or "aligned" in column] == []


def test_top1_agreement_is_told_at_every_doubling_of_the_shift():
    body = whole_report().model_dump()
    row = {"channel": 0.9, "layer": 0.9}
    shifts = [{"shift_px": px, **row, "top1_agreement": 1 - px / 64} for px in range(1, 33)]
    angles = [{"angle_deg": angle, **row, "top1_agreement": angle / 360} for angle in (90, 180, 270)]
    scores = {"channel": 0.9, "layer": 0.9}
    body["parts"]["Final"] = {  # as in older reports, without means
        "blocks": 1,
        "translation": {**scores, "by_transform": shifts},
        "rotation": {**scores, "by_transform": angles},
    }
    first, second = report_tables(type(whole_report()).model_validate(body))[0].notes[-2:]
    assert first == (
        "Top-1 agreement, shifts: 0.742 (1 px 0.984, 2 px 0.969, 4 px 0.938, 8 px 0.875, 16 px 0.750, 32 px 0.500)"
    )
    assert second == "Top-1 agreement, rotations: 0.500 (90° 0.250, 180° 0.500, 270° 0.750)"
