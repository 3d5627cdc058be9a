"""Figures show the reports' own numbers, have gaps for missing ones, and show names as text."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from zooaudit import AuditClient, Comparison, Report
from zooaudit.cli import make_parser
from zooaudit.cli.exit_codes import Mistake
from zooaudit.contract import PARTS, Aligned, AuditRequest, ShiftRow, TranslationScore
from zooaudit.views import figures

from service.comparison import compare
from tests.client.samples import Script, answer, warped_report
from tests.e2e.browser import chromium
from tests.fakes import report_of

HOSTILE = '<b>b</b><a href="//x.org">a</a>$x$&lt;'
REPORT_FIGURES = ("parts", "shifts", "agreement", "depth")


def at_final(report: Report, agreements: dict[int, float], channel: float = 0.9) -> Report:
    """Copy a report, with these top-1 agreements by shift, and with 0.6 under each rotation."""
    final = report.parts["Final"]
    shifts = tuple(
        ShiftRow(shift_px=px, channel=channel - px / 320, layer=0.95, top1_agreement=agreement)
        for px, agreement in agreements.items()
    )
    angles = tuple(row.model_copy(update={"top1_agreement": 0.6}) for row in final.rotation.by_transform)
    changed = final.model_copy(
        update={
            "translation": final.translation.model_copy(update={"by_transform": shifts}),
            "rotation": final.rotation.model_copy(update={"by_transform": angles}),
        }
    )
    return report.model_copy(update={"parts": report.parts | {"Final": changed}})


def report(model: str = "timm/resnet18.a1_in1k", top1: float | None = None, **request: Any) -> Report:
    method = {"dataset": "synthetic", "num_images": 8, "translations_px": [1, 2, 3, 4], "rotations_deg": [90]}
    made = Report.model_validate(report_of(AuditRequest(model="timm/resnet18", **(method | request))).model_dump())
    return made.model_copy(
        update={
            "id": hashlib.md5(model.encode()).hexdigest(),
            "model": made.model.model_copy(update={"name": model, "imagenet_top1": top1}),
        }
    )


def without(report: Report, part: str, reason: str) -> Report:
    """Copy a report, without a score for that part's translation."""
    nothing = TranslationScore(channel=None, layer=None, reason=reason, by_transform=())
    changed = report.parts[part].model_copy(update={"translation": nothing})
    blocks = tuple(block for block in report.blocks if block.part != part)
    return report.model_copy(update={"parts": report.parts | {part: changed}, "blocks": blocks})


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return Comparison.model_validate(compare([report(f"timm/m{n}", 70.0 + n) for n in range(5)]).model_dump())


@pytest.mark.parametrize("models", [1, 2, 7, 30])
@pytest.mark.parametrize("name", REPORT_FIGURES)
def test_plotly_takes_every_figure(name, models):
    reports = [report(f"timm/m{n}") for n in range(models)]
    if name == "agreement":
        reports = [at_final(one, {1: 0.8, 2: 0.7}) for one in reports]
    drawn = figures.draw(figures.of(name, reports))
    assert len(drawn.data) >= 2
    named = {trace.name for trace in drawn.data if trace.showlegend} - {"channel", "layer"}
    assert len(named) == {1: {"parts": 2, "shifts": 5, "agreement": 3, "depth": 0}[name], 2: 2, 7: 7, 30: 0}[models]


def test_curves_are_the_rows_of_the_report():
    rows = tuple(ShiftRow(shift_px=px, channel=px / 10, layer=0.5 + px / 10) for px in (1, 2, 4))
    source = report(translations_px=[1, 2, 4])
    early = source.parts["Early"]
    translation = early.translation.model_copy(update={"by_transform": rows})
    source = source.model_copy(
        update={"parts": source.parts | {"Early": early.model_copy(update={"translation": translation})}}
    )
    channel, layer = (trace for trace in figures.shifts([source])["data"] if trace["name"] == "Early")
    assert (channel["x"], channel["y"]) == ([1, 2, None, 4], [0.1, 0.2, None, 0.4])  # 3 px was not measured
    assert layer["y"] == [0.6, 0.7, None, 0.9]
    panel = figures.shifts([source, report("timm/other", translations_px=[1, 2, 4])], "layer")["data"][0]
    assert panel["y"] == [0.6, 0.7, None, 0.9]


def test_neighbouring_shifts_are_joined_and_lone_ones_are_marked():
    joined = next(trace for trace in figures.shifts([report(translations_px=[1, 2, 3])])["data"])
    assert None not in joined["x"]
    lone = report(translations_px=[4, 8, 32])
    for reports in ([lone], [lone, lone], [lone] * (figures.MANY + 1)):
        for trace in figures.shifts(reports)["data"]:
            if trace["x"] != [None]:  # else it is only in the legend
                assert trace["x"] == [4, None, 8, None, 32]
                assert "markers" in trace["mode"]


def test_the_agreement_falls_beside_the_score_of_final():
    source = at_final(report(translations_px=[1, 2, 32]), {1: 0.81, 2: 0.8, 32: 0.53}, 0.99)
    figure = figures.agreement([source])
    by_name: dict[str, list[list[float | None]]] = {}
    for trace in figure["data"]:
        by_name.setdefault(trace["name"], []).append(trace["y"])
    assert by_name["top-1 agreement"] == [[0.81, 0.8, None, 0.53], [0.6]]
    assert by_name["Final, channel"][0] == [pytest.approx(0.99 - px / 320) if px else None for px in (1, 2, 0, 32)]
    texts = " ".join(note["text"] for note in figure["layout"]["annotations"]).replace("<br>", " ")
    story = "The agreement falls from 0.81 at 1 px to 0.53 at 32 px, while Final's channel reads 0.99 and 0.89."
    assert story.replace("'", "&#x27;") in texts or story in texts
    rotation = next(trace for trace in figure["data"] if trace["xaxis"] == "x2")
    assert rotation["mode"] == "markers"
    assert figure["layout"]["xaxis2"]["ticktext"] == ["90°"]
    assert "matches" not in figure["layout"]["xaxis2"]
    several = figures.agreement([source, at_final(report("timm/b"), {1: 0.4, 2: 0.3})], "layer")
    titles = " ".join(note["text"] for note in several["layout"]["annotations"])
    for title in ("Top-1 agreement by shift", "Final, layer by shift", "Top-1 agreement by rotation"):
        assert title in titles


def test_without_an_agreement_it_says_so():
    figure = figures.agreement([report()])
    assert figure["data"] == []
    assert "No top-1 agreement: it was not measured." in json.dumps(figure["layout"]["annotations"])
    figure = figures.agreement([without(report(), "Final", "it has no classifier")])
    assert "No top-1 agreement: it has no classifier." in json.dumps(figure["layout"]["annotations"])


def test_aligned_shifts_and_held_out_partners_have_marks_of_their_own():
    source = report()
    early = source.parts["Early"]
    aligned = Aligned(channel=0.97, layer=0.98, shifts=2)
    translation = early.translation.model_copy(
        update={"aligned": aligned, "layer_held_out": 0.91, "layer_held_out_interval": (0.9, 0.92)}
    )
    blocks = tuple(block.model_copy(update={"translation": translation}) for block in source.blocks)
    source = source.model_copy(
        update={"parts": source.parts | {"Early": early.model_copy(update={"translation": translation})}}
        | {"blocks": blocks}
    )
    for audits in ([source], [source, report("timm/other")], compare([source, report("timm/other")]).audits):
        data = figures.parts(audits)["data"]
        dashes = next(trace for trace in data if trace["marker"]["symbol"] == ["line-ew"] * 2)
        means = next(trace for trace in data if trace["y"][:2] == [0.9, 0.95])
        assert (dashes["x"], dashes["y"]) == (means["x"][:2], [0.97, 0.98])
        assert "the mean over only the 2 shifts that are whole cells" in dashes["hovertext"][0].replace("<br>", " ")
        assert (means["y"], means["marker"]["symbol"][2]) == ([0.9, 0.95, 0.91], "circle-open-dot")
        assert {"aligned shifts only", "layer, held out"} <= {trace["name"] for trace in data if trace["showlegend"]}
    crowd = figures.parts([source] * (figures.MANY + 1))["data"]
    assert {"channel", "layer"} == {trace["name"] for trace in crowd if trace["showlegend"]}
    depth = figures.depth([source])["data"]
    assert [0.91] * 3 in [trace["y"] for trace in depth]
    assert "layer, held out" in [trace["name"] for trace in depth if trace["showlegend"]]
    without_them = figures.parts([report()])["data"]
    assert {"channel", "layer", "translation", "rotation"} == {t["name"] for t in without_them if t["showlegend"]}


def deep(count: int, prefix: str = "features.denseblock4.denselayer") -> Report:
    """A report of ``count`` blocks in Late, and one in each other part."""
    source = report()
    late = source.blocks[2]
    many = tuple(late.model_copy(update={"name": f"{prefix}{n}"}) for n in range(count))
    return source.model_copy(update={"blocks": (*source.blocks[:2], *many, *source.blocks[3:])})


def test_the_axis_of_depth_names_blocks():
    layout = figures.depth([report()])["layout"]
    assert layout["xaxis2"]["ticktext"] == ["layer0", "layer1", "layer2", "layer3", "layer4"]
    assert [note["text"] for note in layout["annotations"] if note.get("xref") == "x"] == list(PARTS)
    names = figures.depth([deep(100)])["layout"]["xaxis2"]["ticktext"]
    assert "…denseblock4.denselayer0" in names
    assert len(names) < 12
    assert figures.depth([deep(9), deep(9)])["layout"]["xaxis2"]["ticktext"]
    unlike = figures.depth([deep(9), deep(8)])["layout"]
    assert not any(unlike["xaxis2"]["ticktext"])
    assert unlike["xaxis2"]["title"]["text"] == "relative depth within each part"


def test_an_interval_is_an_error_bar():
    source = report()
    late = source.parts["Late"]
    changed = late.rotation.model_copy(update={"channel": 0.3, "channel_interval": (0.2, 0.45)})
    source = source.model_copy(update={"parts": source.parts | {"Late": late.model_copy(update={"rotation": changed})}})
    (bars,) = (trace["error_y"] for trace in figures.parts([source])["data"] if "error_y" in trace)
    assert bars["array"] == [pytest.approx(0.15), None]
    assert bars["arrayminus"] == [pytest.approx(0.1), None]


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("name", ["parts", "depth"])
def test_a_score_that_is_missing_is_a_cross_below_zero_that_says_why(name, others):
    source = without(report(), "Pool", "it pools after its classifier")
    figure = figures.of(name, [source, *[report("timm/other")] * others])
    crosses = [trace for trace in figure["data"] if trace["name"] == "not measured"]
    assert crosses
    assert all(y < 0 for trace in crosses for y in trace["y"])
    assert all("it pools after its classifier" in text for trace in crosses for text in trace["hovertext"])
    lowest = figure["layout"]["yaxis"]["range"][0]
    assert lowest < crosses[0]["y"][0]
    drawn = [y for trace in figure["data"] if trace["name"] != "not measured" for y in trace["y"] if y is not None]
    assert min(drawn) > 0


def test_a_transform_that_was_not_requested_is_left_out_with_a_note():
    nothing = {"channel": None, "layer": None, "reason": "no rotation was asked for", "by_transform": ()}
    source = report(rotations_deg=[])
    parts = {
        name: part.model_copy(update={"rotation": part.rotation.model_copy(update=nothing)})
        for name, part in source.parts.items()
    }
    figure = figures.parts([source.model_copy(update={"parts": parts})])
    assert "rotation" not in [trace["name"] for trace in figure["data"]]
    assert "no rotation was asked for" in json.dumps(figure["layout"]["annotations"])


def test_accuracy_has_a_panel_for_each_part_and_transform_with_its_rho(comparison):
    figure = figures.accuracy(comparison)
    titles = " ".join(note["text"] for note in figure["layout"]["annotations"])
    assert all(f"<b>{part}, {transform}</b>" in titles for part in PARTS for transform in ("translation", "rotation"))
    varied = compare([_scaled(report(f"timm/m{n}", 70.0 + n), 0.1 * n) for n in (1, 3, 2, 4, 5)])
    figure = figures.accuracy(varied)
    relation = varied.accuracy["Early"].translation.channel
    assert relation.spearman == 1
    assert "● ρ 1.00, p .017" in figure["layout"]["annotations"][1]["text"]
    line = next(trace for trace in figure["data"] if trace["mode"] == "lines")
    assert line["y"] == [pytest.approx(relation.intercept + relation.slope * x) for x in (71, 75)]


def _scaled(source: Report, channel: float) -> Report:
    early = source.parts["Early"]
    changed = early.model_copy(update={"translation": early.translation.model_copy(update={"channel": channel})})
    return source.model_copy(update={"parts": source.parts | {"Early": changed}})


def test_models_differ_in_more_than_colour():
    reports = [report(f"timm/m{n}") for n in range(figures.MANY)]
    traces = [trace for trace in figures.depth(reports)["data"] if trace["showlegend"]]
    assert len({(t["line"]["color"], t["line"]["dash"]) for t in traces}) == figures.MANY
    assert len({(t["marker"]["color"], t["marker"]["symbol"][0]) for t in traces}) == figures.MANY
    first = [(t["line"]["dash"], t["marker"]["symbol"][0]) for t in traces[:6]]
    assert len(set(first)) == 6


def test_models_of_one_name_are_told_apart():
    trained, again = report("timm/same"), report("timm/same").model_copy(update={"id": "f" * 32})
    untrained = trained.model_copy(
        update={
            "model": trained.model.model_copy(
                update={"weights": trained.model.weights.model_copy(update={"kind": "untrained"})}
            )
        }
    )
    names = {trace["name"] for trace in figures.parts([trained, again, untrained])["data"]} - {"channel", "layer"}
    assert names == {f"timm/same ({trained.id[:6]})", "timm/same (ffffff)", "timm/same (untrained)"}


@pytest.mark.parametrize("name", REPORT_FIGURES)
def test_a_browser_shows_a_name_letter_by_letter(page, name):
    hostile, other = (at_final(report(model), {1: 0.8}) for model in (HOSTILE, "timm/other"))
    for reports in ([hostile], [hostile, other]):
        page.evaluate("figure => Plotly.newPlot('figure', figure.data, figure.layout)", figures.of(name, reports))
        shown = page.locator("#figure").text_content()
        assert HOSTILE in shown
        assert page.locator("#figure a[href*=org]").count() == 0


LONG = "timm/vit_large_patch14_clip_quickgelu_336.openai_ft_in12k_in1k_v{}"
OVERLAPPING = """() => {
  const texts = [...document.querySelectorAll("#figure text")].filter((node) => node.textContent.trim());
  const boxes = texts.map((node) => [node.textContent, node.getBoundingClientRect()]);
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
  return boxes.flatMap(([text, box], index) =>
    boxes.slice(index + 1).filter(([, other]) => meet(box, other)).map(([other]) => `${text} / ${other}`));
}"""
CUT = """() => {
  const frame = document.querySelector("#figure .main-svg").getBoundingClientRect();
  const texts = [...document.querySelectorAll("#figure text")].filter((node) => node.textContent.trim());
  const inside = (box) => box.left >= frame.left - 1 && box.right <= frame.right + 1
    && box.top >= frame.top - 1 && box.bottom <= frame.bottom + 1;
  return texts.filter((node) => !inside(node.getBoundingClientRect())).map((node) => node.textContent);
}"""


@pytest.mark.parametrize("width", [303, 323, 580, 800])  # in a card on two phones, in one of two columns, as a PNG
@pytest.mark.parametrize("name", [*REPORT_FIGURES, "accuracy"])
def test_long_names_are_whole_at_every_width_and_no_text_meets_another(page, name, width):
    page.set_viewport_size({"width": 900, "height": 800})
    reports = [_scaled(report(LONG.format(n), 70.0 + n), 0.04 * ((7 * n) % 20)) for n in range(20)]
    reports = [at_final(one, {1: 0.81, 2: 0.7, 3: 0.6, 4: 0.5}) for one in reports]
    figure = figures.accuracy(compare(reports)) if name == "accuracy" else figures.of(name, reports)
    drawings = [figure] if name == "accuracy" else [figure, figures.of(name, reports[:1])]
    drawings += [figures.depth([deep(60)])] if name == "depth" else []
    for drawing in drawings:
        layout = drawing["layout"] | {"width": width}
        page.evaluate("([data, layout]) => Plotly.newPlot('figure', data, layout)", [drawing["data"], layout])
        if drawing in drawings[:2]:
            assert LONG.format(0) in page.locator("#figure").text_content()
            assert "…" not in page.locator("#figure").text_content()
        assert page.evaluate(CUT) == []
        assert page.evaluate(OVERLAPPING) == []
        assert (
            page.locator("#figure .scrollbar").evaluate_all(
                "(bars) => bars.filter((bar) => +bar.getAttribute('height')).length"
            )
            == 0
        )


@pytest.mark.parametrize("width", [303, 800])
@pytest.mark.parametrize("name", ["warps", "local_error", "variance"])
def test_no_text_of_warps_and_other_measures_meets_another(page, name, width):
    page.set_viewport_size({"width": 900, "height": 800})
    reports = [warped_report(LONG.format(place), id=f"{place:032x}") for place in range(6)]
    for drawing in (figures.of(name, reports), figures.of(name, reports[:1])):
        layout = drawing["layout"] | {"width": width}
        page.evaluate("([data, layout]) => Plotly.newPlot('figure', data, layout)", [drawing["data"], layout])
        assert page.evaluate(CUT) == []
        assert page.evaluate(OVERLAPPING) == []


OUTSIDE = """() => document.querySelector("#figure")._fullData.flatMap(({ xaxis, yaxis, x, y }) => {
  const inside = (name, value) => {
    const [low, high] = document.querySelector("#figure")._fullLayout[name.replace(/^[xy]/, "$&axis")].range;
    return value == null || (low <= value && value <= high);
  };
  return [...x].map((value, index) => [xaxis, value, yaxis, y[index]])
    .filter((point) => !inside(point[0], point[1]) || !inside(point[2], point[3]));
})"""


@pytest.mark.parametrize("name", figures.NAMES)
@pytest.mark.parametrize("models", [1, 2])
def test_a_browser_shows_every_point_within_its_axes(page, name, models):
    drawing = figures.of(name, [warped_report(f"timm/m{place}", id=f"{place:032x}") for place in range(models)])
    page.evaluate("figure => Plotly.newPlot('figure', figure.data, figure.layout)", drawing)
    assert page.evaluate(OUTSIDE) == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser) -> Iterator[Page]:
    import plotly

    page = browser.new_page(viewport={"width": 375, "height": 800})
    page.set_content("<!doctype html><div id=figure></div>")
    page.add_script_tag(path=Path(plotly.__file__).parent / "package_data" / "plotly.min.js")
    yield page
    page.close()


@pytest.mark.usefixtures("kaleido")
def test_a_figure_becomes_a_png_and_a_page(tmp_path, comparison):
    drawn = comparison.plot()
    drawn.write_image(tmp_path / "figure.png", width=800)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert report().plot("depth", report("timm/other")).layout.height > 300
    with pytest.raises(ValueError, match="there is no figure 'pars'"):
        report().plot("pars")


def test_without_plotly_it_says_what_to_install():
    code = "import sys; sys.modules['plotly'] = None; from zooaudit.views import figures; figures.draw({})"
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "ImportError: Figures are drawn with plotly: pip install 'zooaudit[plot]'" in failed.stderr


@pytest.mark.usefixtures("kaleido")
def test_the_command_line_writes_figures(tmp_path, capsys, comparison):
    reports = {f"/audit/{source.id}/report": source for source in (report(f"timm/m{n}", 70.0 + n) for n in range(5))}

    def serve(request: httpx.Request) -> httpx.Response:
        return answer(comparison if request.url.path == "/comparison" else reports[request.url.path])

    ids = [audit.id for audit in comparison.audits]
    page, picture = tmp_path / "figure.html", tmp_path / "figure.png"
    for command, shown in (
        (["report", ids[0], "--figure=depth"], "layer2"),
        (["compare", *ids], r"Rotation\u003c\u002fb\u003e\u003cbr\u003einvariance at Pool and Final"),
        (["compare", *ids, "--figure=shifts", "--score=layer"], "Late, translation layer"),
        (["compare", *ids, "--figure=accuracy"], "ImageNet top-1"),
    ):
        args = make_parser().parse_args([*command, f"--html={page}"])
        with AuditClient("http://service.test", transport=Script(serve)) as client:
            assert args.run(client, args) == 0
        assert shown in page.read_text("utf-8")
        assert "src=" not in page.read_text("utf-8").split("plotly.js v")[0]
        assert capsys.readouterr().err == f"Figure written to {page}\n"
    for command, count in ((["report", ids[0]], 4), (["compare", *ids], 5)):
        args = make_parser().parse_args([*command, "--figure=all", f"--html={page}"])
        with AuditClient("http://service.test", transport=Script(serve)) as client:
            assert args.run(client, args) == 0
            args.png = picture
            with pytest.raises(Mistake, match="A PNG has one figure"):
                args.run(client, args)
        assert page.read_text("utf-8").count("Plotly.newPlot(") >= count
        assert page.read_text("utf-8").count("plotly.js v") == 1
        assert f"Figures written to {page}\n" in capsys.readouterr().err
    args = make_parser().parse_args(["report", ids[0], f"--png={picture}", "--json"])
    with AuditClient("http://service.test", transport=Script(serve)) as client:
        assert args.run(client, args) == 0
    assert Report.model_validate_json(capsys.readouterr().out).id == ids[0]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_page_of_several_figures_holds_the_script_once(tmp_path, page):
    drawn = [figures.of(name, [at_final(report(), {1: 0.8})]) for name in REPORT_FIGURES]
    figures.save_page(drawn, tmp_path / "all.html")
    text = (tmp_path / "all.html").read_text("utf-8")
    assert text.count("plotly.js v") == 1
    assert "<script src" not in text
    page.goto((tmp_path / "all.html").as_uri())
    expect(page.locator(".js-plotly-plot .main-svg:first-child")).to_have_count(len(drawn))
    heights = page.locator(".js-plotly-plot").evaluate_all("(plots) => plots.map((plot) => plot.clientHeight)")
    assert heights == [figure["layout"]["height"] for figure in drawn]
    tops = page.locator(".js-plotly-plot").evaluate_all("(all) => all.map((one) => one.getBoundingClientRect().top)")
    assert all(below - top >= height for top, below, height in zip(tops, tops[1:], heights, strict=False))


def test_pages_of_one_folder_share_the_script(tmp_path, page):
    for name in ("parts", "depth"):
        figures.save(figures.of(name, [report()]), html=tmp_path / f"{name}.html", shares_script=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["depth.html", "parts.html", "plotly.min.js"]
    assert (tmp_path / "parts.html").stat().st_size < 100_000
    page.goto((tmp_path / "parts.html").as_uri())
    expect(page.locator(".main-svg").first).to_be_visible()


def test_no_name_ends_the_script_of_a_page(tmp_path):
    figures.save(figures.parts([report("</script><script>alert(1)</script>")]), html=tmp_path / "figure.html")
    assert "<script>alert" not in (tmp_path / "figure.html").read_text("utf-8")


def test_without_a_browser_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/bin/false")
    with pytest.raises(RuntimeError, match=r"a Chrome or Chromium of this machine: pip install 'zooaudit\[plot\]'"):
        figures.save(figures.parts([report()]), png=tmp_path / "figure.png")
