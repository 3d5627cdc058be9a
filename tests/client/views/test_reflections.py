"""Whatever shows a report shows its reflections, and says in which direction its shifts go."""

import csv
import io
from typing import Any

import pytest
from zooaudit import figures
from zooaudit.contract import PARTS, summary_of
from zooaudit.exports.numbers import metrics, parameters
from zooaudit.site.columns import PublishedRow, csv_text
from zooaudit.site.report_page import _block_table
from zooaudit.views.reading import reading
from zooaudit.views.report_tables import report_tables, sweep_tables

from tests.client.samples import reflected_report, whole_report
from tests.client.views.test_frames import MORE, SCORES, numbers_in


def traces(figure: dict[str, Any]) -> str:
    return str(figure["data"])


def test_no_score_is_lost_or_twice_in_the_data_frame():
    source = reflected_report()
    frame = source.to_dataframe()
    scores = numbers_in(source.model_dump(include={"parts", "blocks", "borders", "cosine", "baseline"}))
    held = [value for value in frame[[*SCORES, *MORE]].to_numpy().ravel() if value == value]
    assert sorted(held) == sorted(scores)
    (row,) = frame.query(
        "kind == 'reflection' and direction == 'vertical' and level == 'part' and part == 'Late' and border == 'crop' "
        "and similarity == 'correlation'"
    ).to_dict("records")
    assert source.parts["Late"].reflection is not None
    assert row["layer"] == source.parts["Late"].reflection.by_transform[1].layer
    assert set(frame[frame["kind"] == "translation"]["direction"]) == {"right"}
    assert set(whole_report().to_dataframe()["kind"]) == {"translation", "rotation"}


def test_the_tables_have_a_column_of_it_only_where_it_was_asked_for():
    parts, *_, baseline = report_tables(reflected_report())
    assert {"Reflection channel", "Reflection layer", "Reflection held out"} <= set(parts.columns)
    assert "Reflection learned" in baseline.columns
    assert all(len(row) == len(baseline.columns) for row in baseline.rows)
    assert any("1,8 px right" in note and "reflections horizontal,vertical" in note for note in parts.notes)
    assert any(note.startswith("Top-1 agreement, reflections: ") and "vertical 0." in note for note in parts.notes)
    without = report_tables(whole_report())
    assert not any("eflection" in text for table in without for text in (*table.columns, *table.notes))
    assert len(sweep_tables({"a": reflected_report(), "b": whole_report()})) == 3
    assert "Reflection layer" in _block_table(reflected_report()).columns


def test_the_report_is_read_in_words():
    texts = {sentence.term: sentence.text for sentence in reading(reflected_report()).sentences}
    assert texts["translation"].startswith("When the image is shifted right, its features ")
    assert texts["reflection"].startswith("When the image is flipped, its features ")
    assert " flip with it " in texts["reflection"]
    assert " when it is flipped left to right and for " in texts["top1-agreement"]
    assert " under reflection" in texts["learned"]
    warnings = [warning.text for warning in reading(reflected_report()).warnings]
    assert any(text.startswith("The shifts go right only") for text in warnings)
    assert "reflection" not in {sentence.term for sentence in reading(whole_report()).sentences}


@pytest.mark.parametrize("name", figures.NAMES)
def test_the_figures_show_it(name: str):
    alone = figures.of(name, [reflected_report()])
    both = figures.of(name, [reflected_report(), whole_report()])
    if name in ("shifts", "warps", "deformations", "local_error", "variance"):
        assert "eflection" not in str((alone, both))
        return
    assert "reflection" in traces(alone)
    assert "reflection" in traces(both)
    assert "eflection" not in str(figures.of(name, [whole_report()]))


def test_the_agreement_has_a_place_for_each_reflection():
    source = reflected_report()
    figure = figures.agreement([source])
    axis = next(axis for name, axis in figure["layout"].items() if axis_is_of(name, axis, "reflection"))
    assert axis["ticktext"] == ["horizontal", "vertical"]
    assert source.parts["Final"].reflection is not None
    for row in source.parts["Final"].reflection.by_transform:
        assert any(row.top1_agreement in (trace.get("y") or ()) for trace in figure["data"])


def axis_is_of(name: str, axis: Any, title: str) -> bool:
    return name.startswith("xaxis") and axis.get("title", {}).get("text") == title


def test_exports_name_it():
    named = metrics(reflected_report())
    reflection = reflected_report().parts["Late"].reflection
    assert reflection is not None
    assert named["Late/reflection/channel"] == reflection.channel
    assert "Late/reflection/channel_learned" in named
    assert parameters(reflected_report())["reflections"] == "horizontal,vertical"
    assert parameters(reflected_report())["direction"] == "right"
    assert not {"reflections", "direction"} & set(parameters(whole_report()))


def test_the_published_table_has_its_columns():
    rows = [PublishedRow(summary_of(each), None, True) for each in (reflected_report(), whole_report())]
    reflected, plain = csv.DictReader(io.StringIO(csv_text(rows)))
    assert (reflected["direction"], reflected["reflections"]) == ("right", "horizontal,vertical")
    assert (plain["direction"], plain["reflections"]) == ("diagonal", "none")
    for part in PARTS:
        score = reflected_report().parts[part].reflection
        assert score is not None
        assert float(reflected[f"{part.lower()}_reflection_layer"]) == score.layer
        assert plain[f"{part.lower()}_reflection_layer"] == ""
