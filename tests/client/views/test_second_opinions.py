"""Whatever shows a report shows its warps and what other measures say; without these, it shows what it did before."""

import csv
import io
from html import unescape
from typing import Any

import pytest
from zooaudit import figures
from zooaudit.contract import (
    GENERATORS,
    KINDS,
    PARTS,
    TRANSFORMS,
    WARPS,
    Magnitude,
    Report,
    SecondOpinion,
    Warps,
    summary_of,
)
from zooaudit.exports.model_card import model_index
from zooaudit.exports.numbers import by_depth, metrics, parameters
from zooaudit.site.columns import COLUMNS, PublishedRow, columns_of, csv_text, data_package
from zooaudit.site.publishing import _leaderboards
from zooaudit.site.report_page import _block_table, page_in_site
from zooaudit.views.comparison_tables import comparison_tables
from zooaudit.views.figures.by_warp import warp_axis
from zooaudit.views.figures.labels import INTERPOLATION
from zooaudit.views.figures.style import COLOURS, GREY
from zooaudit.views.reading import reading
from zooaudit.views.report_tables import method_line, report_tables, sweep_tables
from zooaudit.views.second_opinion_tables import ERROR_NOTE, magnitude_cell
from zooaudit.views.tables import fitted, plain
from zooaudit.views.text import ENDS, spoken, three_decimals

from tests.client.samples import WARPED, comparison, reflected_report, warped_comparison, warped_report, whole_report
from tests.client.site.test_report_page import ASSETS
from tests.client.views.test_frames import MORE, SCORES, numbers_in

SETTINGS = {"amount", "displacement_px"}
OTHERS = ["value", "value_low", "value_high", "interpolation"]


def without_settings(value: Any) -> Any:
    """Leave out what was asked for of what was measured."""
    if isinstance(value, dict):
        return {name: without_settings(inner) for name, inner in value.items() if name not in SETTINGS}
    return [without_settings(inner) for inner in value] if isinstance(value, list | tuple) else value


def changed(report: Report, path: tuple[Any, ...], value: Any) -> Report:
    """Return the report with another value at the path in its body."""
    body = report.model_dump()
    inner: Any = body
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return type(report).model_validate(body)


def warnings(report: Report, term: str) -> list[str]:
    return [warning.text for warning in reading(report).warnings if warning.term == term]


def sentences(report: Report, term: str) -> list[str]:
    return [sentence.text for sentence in reading(report).sentences if sentence.term == term]


def test_no_number_is_lost_or_twice_in_the_data_frame():
    source = warped_report()
    frame = source.to_dataframe()
    measured = {"parts", "blocks", "borders", "cosine", "baseline", "consistency"}
    numbers = numbers_in(without_settings(source.model_dump(include=measured)))
    held = [value for value in frame[[*SCORES, *MORE, *OTHERS]].to_numpy().ravel() if value == value]
    assert sorted(held) == sorted(numbers)
    keys = ["similarity", "border", "level", "part", "block", "kind", "statistic", "amount", "direction", "quantity"]
    assert not frame.duplicated([*keys, "seed", "measure"]).any()


def test_the_data_frame_says_what_each_number_is():
    source = warped_report()
    frame = source.to_dataframe()

    def the(query: str) -> Any:
        (row,) = frame.query(query).to_dict("records")
        return row

    late, block = source.parts["Late"], source.blocks[2]
    assert late.warp_rotation
    assert late.second_opinion
    assert block.second_opinion
    assert source.baseline
    assert source.baseline.second_opinion
    part = "level == 'part' and part == 'Late' and border == 'crop' and similarity == 'correlation' and "
    turned = the(part + "kind == 'warp_rotation' and amount == 22.5")
    row = late.warp_rotation.by_transform[1]
    assert (turned["channel"], turned["interpolation"], turned["measure"]) == (
        row.channel,
        row.interpolation,
        "equivariance",
    )
    ratio = the(part + "measure == 'ratio' and amount == 1.5 and quantity == 'score'")
    deformed = late.second_opinion.deformation[1]
    assert (ratio["value"], ratio["value_high"]) == (deformed.ratio, (deformed.ratio_interval or (0, 0))[1])
    assert (
        the("block == 'layer2' and kind == 'shear' and measure == 'local_error'")["value"]
        == block.second_opinion.local_error["shear"].value
    )
    untrained = the(part + "measure == 'variance' and kind == 'reflection' and quantity == 'untrained'")
    assert untrained["value"] == source.baseline.second_opinion["Late"].variance["reflection"].value
    assert source.consistency
    assert the("measure == 'published_consistency'")["value"] == source.consistency.published
    means = frame.query(part + "statistic == 'mean' and quantity == 'score'")
    assert len(means) == len(source.method.transforms)


def test_amounts_are_whole_numbers_where_all_are():
    assert str(whole_report().to_dataframe()["amount"].dtype) == "Int64"
    assert not set(OTHERS) & set(reflected_report().to_dataframe().columns)
    assert str(warped_report().to_dataframe()["amount"].dtype) == "Float64"


def test_each_kind_of_warps_has_a_table_with_its_interpolation():
    source = warped_report()
    tables = {table.title or "": table for table in report_tables(source)}
    assert {title for title in tables if title.startswith("Warp ")} == {
        "Warp rotation by 15° and 22.5°",
        "Warp scale by 0.9 and 1.1",
        "Warp shear by −0.1 and 0.1",
        "Warp translation by 0.5 px and 8 px",
    }
    table = tables["Warp rotation by 15° and 22.5°"]
    assert table.columns == ("Part", "Channel", "Layer", "Held out", "Interpolation")
    for row in table.rows:
        score = source.parts[row[0]].warp_rotation  # type: ignore[index]
        assert score
        assert row[-1] == three_decimals(score.interpolation)
    assert any(note.startswith("Top-1 agreement, warps: ") and "(15° 0." in note for note in table.notes)
    assert (
        "Warp scale learned" in tables["Channel equivariance beyond 2 untrained initialisations, under warps"].columns
    )
    assert "Warp rotation by 15°" in repr(source)
    first, *_ = report_tables(source)
    assert [head for head in first.columns if "arp" in head] == []
    assert any("warps rotation:15,22.5 scale:0.9,1.1 shear:-0.1,0.1 translation:0.5,8" in note for note in first.notes)
    assert len(sweep_tables({"a": source, "b": whole_report()})) == 7


def test_many_amounts_are_summed_up():
    many = WARPED[0].model_copy(update={"amounts": tuple(range(10, 180, 10))})
    source = warped_report()
    method = source.method.model_copy(update={"warps": (many,)})
    text = plain(report_tables(source.model_copy(update={"method": method})))
    assert "Warp rotation by 17 amounts from 10° to 170°" in text


def test_other_measures_have_tables_by_part():
    source = warped_report()
    tables = {table.title or "": table for table in report_tables(source)}
    for title in (
        "Local equivariance error: relative change for 1 px, 1 degree, 1 per cent, or a shear by 1",
        "Stability to deformations",
        "Variance over transforms by variance over images",
    ):
        assert title in tables
        assert any(f"{title.partition(':')[0]}, untrained architecture" in other for other in tables)
    deformed = tables["Stability to deformations"]
    assert len(deformed.rows) == 2 * len(PARTS)
    late = source.parts["Late"].second_opinion
    assert late
    row = late.deformation[0]
    assert ["Late", "0.75", f"{row.gradient:.3g}", f"{row.deformation:.3g}", f"{row.noise:.3g}"] in [
        list(cells[:5]) for cells in deformed.rows
    ]
    assert source.consistency
    (consistency,) = (table for title, table in tables.items() if title.startswith("Shift consistency: 5 pairs"))
    assert ["published, all validation images, up to 32 px", f"{source.consistency.published:.4f}"] in consistency.rows
    assert "R at 1.5 px" in _block_table(source).columns
    assert "Warp shear interpolation" in _block_table(source).columns
    assert "econd" not in plain(report_tables(reflected_report()))


def test_the_report_is_read_in_words():
    source = warped_report()
    warps = sentences(source, "warp")
    assert len(warps) == 4
    assert warps[0].startswith("When the image is turned by 15° and 22.5°, its features turn with it ")
    assert " of maps: what is lost to it is not the network’s." in warps[0]
    assert " at a warp (rotation) by 15° and for " in sentences(source, "top1-agreement")[0]
    assert "up to 32 px apart, have the same class for" in sentences(source, "shift-consistency")[0]
    assert "0 would be equivariant." in sentences(source, "local-equivariance-error")[0]
    assert "0 would be invariant" in sentences(source, "transformational-variance")[0]
    assert " under warp shear" in sentences(source, "learned")[0]
    terms = {sentence.term for sentence in reading(reflected_report()).sentences}
    assert terms == {"translation", "rotation", "reflection", "top1-agreement", "learned"}


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.5, 0.7), "less in Early (R 0.60)"),
        ((1.2, 1.4), "more in Early (R 0.60)"),
        ((0.9, 1.1), "no differently beyond the interval in Early (R 0.60)"),
        (None, "by a ratio without an interval in Early (R 0.60)"),
    ],
)
def test_the_ratio_is_called_by_its_side_of_one_only_beyond_its_interval(interval, words):
    path = ("parts", "Early", "second_opinion", "deformation", 0)
    source = changed(warped_report(), (*path, "ratio"), 0.6)
    (text,) = sentences(changed(source, (*path, "ratio_interval"), interval), "deformation-stability")
    assert words in text
    assert "by 0.75 px in the mean" in text


def test_little_that_interpolation_leaves_is_warned_of():
    def with_interpolation(value: float) -> Report:
        source = warped_report()
        for name in PARTS:
            for transform in KINDS:
                source = changed(source, ("parts", name, transform, "interpolation"), 0.95)
        return changed(source, ("parts", "Late", "warp_rotation", "interpolation"), value)

    assert warnings(with_interpolation(0.91), "interpolation") == []
    (text,) = warnings(with_interpolation(0.83), "interpolation")
    assert "at Late (0.83) under warp rotation:" in text


def test_deformations_that_fold_the_image_are_warned_of():
    path = ("parts", "Early", "second_opinion", "deformation")
    source = warped_report()
    row = source.parts["Early"].second_opinion.deformation[0].model_dump()
    assert warnings(changed(source, path, [{**row, "gradient": 0.49}]), "deformation-stability") == []
    (text,) = warnings(changed(source, path, [{**row, "gradient": 0.98}]), "deformation-stability")
    assert f"{row['displacement_px']:g} px (gradient 0.98) are steep for images of" in text


def test_a_consistency_without_an_exception_is_no_certainty():
    source = changed(warped_report(), ("consistency", "value"), 1.0)
    (text,) = warnings(changed(source, ("consistency", "interval"), (1.0, 1.0)), "top1-agreement")
    assert "between two windows, and ±0.000 says no more than that" in text


def test_a_published_consistency_of_other_images_is_warned_of():
    source = warped_report()
    (text,) = warnings(source, "shift-consistency")
    assert "this one of synthetic with offsets up to 32 px" in text
    same = changed(source, ("images", "dataset"), "imagenet-val")
    assert warnings(same, "shift-consistency") == []
    assert "up to 40 px" in warnings(changed(same, ("consistency", "offset_px"), 40), "shift-consistency")[0]
    assert warnings(changed(source, ("consistency", "published"), None), "shift-consistency") == []


def test_what_is_missing_is_told_with_its_reason():
    path = ("parts", "Late", "second_opinion", "local_error", "scale")
    nothing = {"value": None, "interval": None, "reason": "The map is too small."}
    source = changed(warped_report(), path, nothing)
    (text,) = warnings(source, "local-equivariance-error")
    assert text == "No local equivariance error for Late (scale). The reason: The map is too small."
    assert "Late scale: The map is too small." in plain(report_tables(source))
    assert "Late/local_error/scale" not in metrics(source)
    frame = source.to_dataframe().query(
        "level == 'part' and part == 'Late' and kind == 'scale' and quantity == 'score'"
    )
    assert frame["reason"].to_list() == ["The map is too small."]
    for transform in KINDS:
        no_score = {"channel": None, "layer": None, "by_transform": [], "reason": "Fewer than 4 cells."}
        gone = changed(warped_report(), ("parts", "Late", transform), no_score)
        assert any(f"Late under {transform.replace('_', ' ')}" in text for text in warnings(gone, "part"))
        for name in figures.NAMES:
            assert figures.of(name, [gone])["data"]


@pytest.mark.parametrize("name", figures.NAMES)
def test_the_figures_show_them_of_one_model_and_of_several(name: str):
    other = warped_report("timm/resnet34.a1_in1k", id="f" * 32)
    alone, both = figures.of(name, [warped_report()]), figures.of(name, [warped_report(), other])
    mixed = figures.of(name, [warped_report(), whole_report()])
    if name == "shifts":
        assert "arp" not in str((alone, both))
    elif name == "deformations":
        assert "gradient" in str(alone["data"])
    elif name == "local_error":
        for figure in (alone, both, mixed):
            assert all(f"{spoken(generator)}, " in str(figure) for generator in GENERATORS)
    else:
        for figure in (alone, both, mixed):
            assert all(f"warp {kind}" in str(figure) for kind in WARPS)
    if name in ("warps", "deformations", "local_error", "variance"):
        assert not figures.of(name, [whole_report()])["data"]
        assert name not in figures.shown([whole_report().method])
    assert name in figures.shown([warped_report().method])


def test_each_number_of_a_curve_is_where_it_was_measured():
    source = warped_report()
    figure = figures.warps([source])
    for part_name, part in source.parts.items():
        for transform in KINDS:
            score = getattr(part, transform)
            for field in ("channel", "layer", "interpolation"):
                points = [(row.amount, getattr(row, field)) for row in score.by_transform]
                assert any(list(zip(one["x"], one["y"], strict=True)) == points for one in figure["data"]), part_name
    figure = figures.deformations([source])
    late = source.parts["Late"].second_opinion
    assert late
    curves = [list(zip(one["x"], one["y"], strict=True)) for one in figure["data"]]
    assert [(row.gradient, row.deformation) for row in late.deformation] in curves
    assert [(row.displacement_px, row.ratio) for row in late.deformation] in curves


def shown_as(values: list[float]) -> list[float]:
    return [round(value, 9) for value in values]


@pytest.mark.parametrize(("name", "quantities"), [("local_error", GENERATORS), ("variance", (*TRANSFORMS, *KINDS))])
def test_other_measures_over_the_depth_are_those_of_the_blocks_with_their_intervals(name: str, quantities: Any):
    source = warped_report()
    other = warped_report("timm/resnet34.a1_in1k", id="f" * 32)
    alone, both = figures.of(name, [source]), figures.of(name, [source, other])
    named = [one["name"] for one in alone["data"] if one.get("showlegend")]
    assert len(named) == len(source.method.transforms if name == "variance" else GENERATORS)
    for figure, reports in ((alone, [source]), (both, [source, other])):
        curves = {tuple(shown_as(one["y"])): one for one in figure["data"] if "+" in one.get("mode", "")}
        bars = [one for one in figure["data"] if one.get("mode") == "markers"]
        bands = [shown_as(one["y"]) for one in figure["data"] if one.get("fill")]
        assert all(len(one["x"]) == len(one["y"]) for one in figure["data"])
        for report in reports:
            for quantity in quantities:
                unit = 0.01 if quantity == "shear" else 1
                at = {"mapped": [], "whole": []}
                for block in report.blocks:
                    assert block.second_opinion
                    found = getattr(block.second_opinion, name)[quantity]
                    at["whole" if block.part in ("Pool", "Final") else "mapped"].append(found)
                assert tuple(shown_as([unit * one.value for one in at["mapped"]])) in curves
                edges = [unit * one.interval[1] for one in at["mapped"]]
                edges += [unit * one.interval[0] for one in reversed(at["mapped"])]
                assert shown_as(edges) in bands
                whole = shown_as([unit * one.value for one in at["whole"]])
                assert any(shown_as(one["y"]) == whole and one["error_y"]["array"] for one in bars)
    several = [figures.of(name, [warped_report(id=f"{place:032x}") for place in range(count)]) for count in (7, 30)]
    assert not any(one.get("fill") for figure in several for one in figure["data"])
    titles = [text["text"] for text in both["layout"]["annotations"] if text["text"].startswith("<b>")][1:]
    assert all(any(spoken(quantity) in title for title in titles) for quantity in quantities)


def test_a_measure_of_a_block_that_is_missing_is_a_cross_with_its_reason():
    nothing = {"value": None, "interval": None, "reason": "The map is too small."}
    source = changed(warped_report(), ("blocks", 0, "second_opinion", "local_error", "scale"), nothing)
    figure = figures.local_error([source])
    (cross,) = [one for one in figure["data"] if one.get("name") == "not measured"]
    assert [("scale" in text, "The map is too small." in text) for text in cross["hovertext"]] == [(True, True)]


def test_interpolation_is_a_line_of_its_own_for_one_model_and_for_a_few():
    def lines(figure: Any) -> list[Any]:
        return [one for one in figure["data"] if one["x"] != [None] and "asterisk-open" in str(one.get("marker"))]

    def legend(figure: Any) -> list[str]:
        return [one["name"] for one in figure["data"] if one.get("showlegend")]

    alone = figures.warps([warped_report()])
    assert {(one["line"]["color"], one["line"]["dash"]) for one in lines(alone)} == {(GREY, INTERPOLATION[2])}
    assert len({one["marker"]["color"] for one in lines(alone)}) == len(PARTS)
    reports = [warped_report(f"timm/m{place}", id=f"{place:032x}") for place in range(7)]
    few, many = figures.warps(reports[:6]), figures.warps(reports)
    assert len(lines(few)) == 6 * len(PARTS) * len(KINDS)
    assert legend(few)[-1] == "interpolation alone"
    assert {one["line"]["width"] for one in lines(few)} == {1.5}
    assert {one["line"]["color"] for one in lines(few)} == set(COLOURS[:6])
    assert not lines(many)
    assert "interpolation alone" not in legend(many)
    late = reports[0].parts["Late"].warp_scale
    assert late
    for figure in (few, many):
        assert f"interpolation alone leaves {late.by_transform[0].interpolation:.3f}" in str(figure)
    block = reports[0].blocks[0].warp_scale
    assert block
    assert f"interpolation alone leaves {block.interpolation:.3f}" in str(figures.depth(reports))


def test_a_map_that_is_not_interpolated_is_no_missing_score():
    source = changed(warped_report(), ("blocks", -1, "warp_scale", "interpolation"), None)
    assert not [one for one in figures.depth([source])["data"] if one.get("name") == "not measured"]


@pytest.mark.parametrize(
    ("amounts", "ticks"),
    [
        ((0.5,), ["0.5"]),
        ((0.0,), ["0"]),
        ((-128.0, 128.0), ["−128", "128"]),
        ((15.0, 30.0, 45.0), ["15", "30", "45"]),
        ((0.5, 0.6, 90.0), None),
        (tuple(range(-175, 180, 10)), None),
    ],
)
def test_an_axis_names_the_amounts_where_they_are_few(amounts: tuple[float, ...], ticks: list[str] | None):
    source = warped_report()
    method = source.method.model_copy(update={"warps": (Warps(kind="rotation", amounts=amounts),)})
    axis = warp_axis([source.model_copy(update={"method": method})], "rotation")
    assert axis.get("ticktext") == ticks
    assert ticks is None or axis["tickvals"] == list(amounts)
    assert axis["range"][0] < min(amounts) <= max(amounts) < axis["range"][1]


def test_a_transform_looks_the_same_whatever_else_was_asked_for():
    def looks(figure: Any) -> dict[str, tuple[str, str]]:
        drawn = [one for one in figure["data"] if one["name"] and not one["legendgroup"].startswith("kind ")]
        return {one["name"]: (one["marker"]["color"], one["marker"]["symbol"][0]) for one in drawn}

    source = warped_report()
    body = source.model_dump()
    body["method"] |= {"reflections": (), "warps": (body["method"]["warps"][-1],)}
    kind = WARPS[body["method"]["warps"][0]["kind"]]
    for place in (*body["parts"].values(), *body["blocks"]):
        for transform in {"reflection", *KINDS} - {kind}:
            place[transform] = None
    for part in body["baseline"]["parts"].values():
        for transform in {"reflection", *KINDS} - {kind}:
            part[transform] = None
    fewer = Report.model_validate(body)
    all_of_them = looks(figures.parts([source]))
    assert looks(figures.parts([fewer])) == {
        name: all_of_them[name] for name in ("translation", "rotation", spoken(kind))
    }
    line = {
        name: {
            one["line"]["color"]
            for one in figures.depth([report])["data"]
            if "line" in one and spoken(kind) in str(one)
        }
        for name, report in (("all", source), ("fewer", fewer))
    }
    assert line["all"] == line["fewer"]


def test_without_shifts_the_legend_has_no_aligned_ones():
    def legend(report: Report) -> list[str]:
        return [one["name"] for one in figures.parts([report])["data"] if one.get("showlegend")]

    assert "aligned shifts only" in legend(whole_report())
    body = whole_report().model_dump()
    for part in body["parts"].values():
        part["translation"] |= {"aligned": {"channel": None, "layer": None, "shifts": 0, "reason": "no shift"}}
    assert "aligned shifts only" not in legend(Report.model_validate(body))


def test_the_figure_of_parts_marks_what_interpolation_leaves():
    source = warped_report()
    marks = [one for one in figures.parts([source])["data"] if one["marker"]["symbol"] == ["asterisk-open"]]
    assert {one["y"][0] for one in marks} == {
        getattr(part, transform).interpolation for part in source.parts.values() for transform in KINDS
    }


def test_exports_name_them():
    source = warped_report()
    named = metrics(source)
    late = source.parts["Late"]
    assert late.warp_scale
    assert late.second_opinion
    assert source.consistency
    assert named["Late/warp_scale/interpolation"] == late.warp_scale.interpolation
    assert named["Late/local_error/rotation"] == late.second_opinion.local_error["rotation"].value
    assert named["Late/deformation/1.5px/ratio"] == late.second_opinion.deformation[1].ratio
    assert "Late/variance/warp_shear_low" in named
    assert named["consistency"] == source.consistency.value
    steps = dict(by_depth(source))
    assert source.blocks[2].second_opinion
    assert steps[2]["by_depth/local_error/shear"] == source.blocks[2].second_opinion.local_error["shear"].value
    asked = parameters(source)
    assert asked["warps"] == "rotation:15,22.5 scale:0.9,1.1 shear:-0.1,0.1 translation:0.5,8"
    assert (asked["deformation_px"], asked["local"], asked["consistency_draws"]) == ("0.75,1.5", "yes", 5)
    assert not {"warps", "deformation_px", "local", "consistency_draws", "variance"} & set(parameters(whole_report()))
    cards = str(model_index(source))
    for words in ("shift consistency", "Late: local equivariance error, translation x", "Late: warp shear layer"):
        assert words in cards


def test_the_published_table_has_columns_for_them_only_where_they_were_asked_for():
    before = [PublishedRow(summary_of(each), None, True) for each in (reflected_report(), whole_report())]
    assert not [column for column in columns_of(before) if column.optional]
    rows = [*before, PublishedRow(summary_of(warped_report()), None, True)]
    text = csv_text(rows)
    *_, plain_row, warped = csv.DictReader(io.StringIO(text))
    late = warped_report().parts["Late"]
    assert late.warp_rotation
    assert late.second_opinion
    assert warped["warps"] == "rotation:15,22.5 scale:0.9,1.1 shear:-0.1,0.1 translation:0.5,8"
    assert (plain_row["warps"], plain_row["local"], plain_row["deformation"]) == ("none", "false", "")
    assert (warped["deformation"], warped["local"], warped["consistency_draws"]) == ("0.75,1.5", "true", "5")
    assert float(warped["late_warp_rotation_interpolation"]) == late.warp_rotation.interpolation
    for generator in GENERATORS:
        error = late.second_opinion.local_error[generator]
        assert float(warped[f"late_local_error_{generator}"]) == error.value
        assert error.interval
        assert float(warped[f"late_local_error_{generator}_low"]) == error.interval[0]
    ratios = [row.ratio or 0 for row in late.second_opinion.deformation]
    assert float(warped["late_deformation_ratio"]) == pytest.approx(sum(ratios) / 2)
    assert warped["consistency"]
    assert plain_row["consistency"] == ""
    header = text.splitlines()[0].split(",")
    assert header == [column.name for column in columns_of(rows)]
    fields = data_package("A title", columns_of(rows))["resources"][0]["schema"]["fields"]
    assert [field["name"] for field in fields] == header
    assert len(header) == len(set(header)) <= len(COLUMNS)


def test_a_site_shows_them():
    rows = [PublishedRow(summary_of(each), None, True) for each in (warped_report(), whole_report())]
    for table, transforms in ((rows, 7), (rows[1:], 3)):
        scores = [row["scores"] for board in _leaderboards(table)["methods"] for row in board["rows"]]
        assert {len(part) for of_row in scores for part in of_row} == {transforms}
    page = page_in_site(warped_report(), "A title", None, ASSETS)
    for words in ("Warp rotation by 15°", "Local equivariance error", "Shift consistency", 'id="figure-warps"'):
        assert words in page
    assert 'id="figure-warps"' not in page_in_site(whole_report(), "A title", None, ASSETS)


def test_a_comparison_has_them_side_by_side():
    compared = warped_comparison()
    titles = [table.title or "" for table in comparison_tables(compared)]
    assert "Warp rotation: channel equivariance, pretrained weights" in titles
    assert "Warp rotation: interpolation, against which each score is to be read" in titles
    assert "Local equivariance error, rotation: relative change for 1 degree" in titles
    assert "R, stability to deformations by 0.75 px against that to noise" in titles
    assert "Variance over transforms by variance over images, warp shear" in titles
    table = comparison_tables(compared)[-1]
    assert table.title == "Shift consistency"
    assert [row[1].split()[0] for row in table.rows] == [
        three_decimals(audit.consistency.value) for audit in compared.audits if audit.consistency
    ]
    frame = compared.to_dataframe()
    for audit in compared.audits:
        values = frame[frame["id"] == audit.id][[*SCORES, *MORE, *OTHERS]].to_numpy().ravel()
        body = without_settings(audit.model_dump(include={"parts", "consistency"}))
        for part in body["parts"].values():
            del part["translation"]["aligned"]
        assert sorted(value for value in values if value == value) == sorted(numbers_in(body))
    for figure in (figures.accuracy(compared), figures.parts(compared.audits)):
        assert "arp shear" in str(figure)
    assert "deformations 0.75,1.5 px, local error, consistency of 5 draws, variance" in method_line(compared.method)


def test_the_tables_of_compared_measures_share_their_notes_and_tell_what_is_missing():
    compared = warped_comparison()
    first, second = compared.audits
    opinion = second.parts["Late"].second_opinion
    assert opinion
    nothing = Magnitude(value=None, reason="The map is too small.")
    row = opinion.deformation[1].model_copy(update={"ratio": None, "ratio_interval": None, "reason": "No noise."})
    changes = {
        "local_error": {**opinion.local_error, "scale": nothing},
        "deformation": (opinion.deformation[0], row),
    }
    late = second.parts["Late"].model_copy(update={"second_opinion": opinion.model_copy(update=changes)})
    early = second.parts["Early"].model_copy(update={"second_opinion": None})
    parts = {**second.parts, "Late": late, "Early": early}
    second = second.model_copy(update={"parts": parts, "consistency": None})
    tables = comparison_tables(compared.model_copy(update={"audits": (first, second)}))
    by_title = {table.title or "": table for table in tables}
    names = [first.model, second.model]
    scale = by_title["Local equivariance error, scale: relative change for 1 per cent"]
    assert [row[0] for row in scale.rows] == names
    assert scale.columns == ("Model", *PARTS)
    assert (scale.rows[1][1], scale.rows[1][3]) == ("–", "–")
    found = first.parts["Late"].second_opinion
    assert found
    assert scale.rows[0][3] == magnitude_cell(found.local_error["scale"])
    assert scale.rows[0][3] != magnitude_cell(Magnitude(value=found.local_error["scale"].value))
    assert scale.notes == ()
    last = by_title["Local equivariance error, shear: relative change for a shear by 1"]
    assert last.notes == [ERROR_NOTE, ENDS, f"{second.model}, Late scale: The map is too small."]
    ratio = by_title["R, stability to deformations by 1.5 px against that to noise"]
    assert ratio.rows[1][3] == "–"
    assert f"{second.model}, Late 1.5 px: No noise." in ratio.notes
    assert by_title["Shift consistency"].rows[1] == [second.model, "–", "–", "–"]
    assert first.consistency
    assert by_title["Shift consistency"].rows[0][2:] == ["32", f"{first.consistency.published:.4f}"]
    for table in tables[tables.index(last) :]:
        assert fitted(table, 100), table.title


def test_a_printed_comparison_has_all_scores_and_measures():
    compared = warped_comparison()
    text = repr(compared)
    for table in comparison_tables(compared):
        assert ((table.title or "") in text) is (" given accuracy" not in (table.title or "")), table.title
        assert (table.title or "") in unescape(compared._repr_html_())
    alone = compared.model_copy(update={"differences": None})
    assert repr(alone) == plain(comparison_tables(alone))
    assert "econd" not in repr(comparison())
    assert [table.title for table in comparison_tables(comparison())][-1:] == [
        "Rotation given accuracy: channel equivariance above the line over top-1"
    ]
    assert repr(comparison()) == plain(comparison_tables(comparison())[:5])
    assert not {*OTHERS, "measure", "amount"} & set(comparison().to_dataframe().columns)


def test_a_measured_zero_has_a_column_in_the_published_table():
    source = changed(warped_report(), ("consistency", "interval"), (0.0, 0.5))
    source = changed(source, ("parts", "Late", "second_opinion", "variance", "rotation"), {"value": 0.0})
    rows = [PublishedRow(summary_of(source), None, True)]
    (row,) = csv.DictReader(io.StringIO(csv_text(rows)))
    assert (row["consistency_low"], row["consistency_high"], row["late_variance_rotation"]) == ("0.0", "0.5", "0.0")
    assert "late_variance_rotation_low" not in row


def test_the_variance_over_reflections_and_warps_is_put_into_words():
    source = warped_report()
    only = {name: Magnitude(value=0.25) for name in ("reflection", "warp_rotation")}
    parts = {
        name: part.model_copy(update={"second_opinion": SecondOpinion(variance=only)})
        for name, part in source.parts.items()
        if name == "Late"
    }
    (said,) = sentences(source.model_copy(update={"parts": parts}), "transformational-variance")
    assert "is 0.25 in Late over reflections; and 0.25 in Late over warp rotations. 0 would be invariant" in said


def test_what_interpolation_leaves_is_said_of_the_parts_that_have_it_and_if_none_has_that_too():
    source = warped_report()

    def left(*names: str) -> list[str]:
        parts = {
            name: part.model_copy(
                update={
                    "warp_rotation": part.warp_rotation.model_copy(
                        update={"interpolation": 0.75 if name in names else None}
                    )
                }
            )
            for name, part in source.parts.items()
            if part.warp_rotation
        }
        found = sentences(source.model_copy(update={"parts": parts}), "warp")
        return [text.partition("Interpolation")[2] or text for text in found if "turned by" in text]

    (some,) = left("Early", "Late")
    assert some.startswith(" alone leaves 0.75 in Early and 0.75 in Late of maps:")
    (none,) = left()
    assert none.endswith(" What interpolation alone leaves of maps could not be measured.")


def test_a_long_list_of_what_is_missing_is_cut_short():
    source = warped_report()
    nothing = {name: Magnitude(value=None, reason="One image.") for name in ("reflection", "warp_rotation")}
    parts = {
        name: part.model_copy(update={"second_opinion": SecondOpinion(variance=nothing)})
        for name, part in source.parts.items()
    }
    (said,) = warnings(source.model_copy(update={"parts": parts}), "transformational-variance")
    assert "Early (reflection), " in said
    assert said.endswith(" Late (reflection) and 5 others. The reason: One image.")
