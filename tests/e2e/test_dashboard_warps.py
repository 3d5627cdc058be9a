"""The dashboard asks for warps and other measures, and shows what reports, comparisons and the zoo have of them."""

import csv
import io
import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from zooaudit.contract import (
    GENERATORS,
    PARTS,
    AuditRequest,
    Comparison,
    RelatedPart,
    Report,
    compared_audit,
    shared_method,
)
from zooaudit.contract.cost import forward_images_of

from service.stack import Stack
from tests.client.samples import comparison, differences
from tests.e2e.browser import QUICK, bare, body, drawn, opened, spread
from tests.e2e.harness import stack_of_reports
from tests.e2e.test_dashboard_form import launch, model_field, posted
from tests.fakes import report_of
from tests.warped_reports import MEASURES, warped_report

__all__ = ["posted"]
MODELS = ("timm/resnet18.a1_in1k", "timm/resnet34.a1_in1k", "timm/resnet50.a1_in1k")
WARPED = {model: warped_report(model) for model in MODELS}
FIRST = WARPED[MODELS[0]]
ONLY_WARPS = warped_report(MODELS[0], translations_px=(), rotations_deg=(), reflections=(), baseline=False)
PLAIN = report_of(AuditRequest(model=MODELS[0], dataset="synthetic", num_images=8))
NAMES = ("warp_translation", "warp_rotation", "warp_scale", "warp_shear")
OTHER = ("Local equivariance error", "Deformations", "Variance", "Shift consistency")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[Stack]:
    """A stack without workers, with these reports in its store."""
    with stack_of_reports(tmp_path_factory.mktemp("warps-stack"), (*WARPED.values(), ONLY_WARPS, PLAIN)) as stack:
        yield stack


@pytest.fixture(params=[1280, 360])
def stored(request: pytest.FixtureRequest, browser: Browser, store: Stack) -> Iterator[Page]:
    """A page of that stack on a wide and on a narrow screen, wider than which nothing may be."""
    with opened(browser, store.url, key=None, viewport={"width": request.param, "height": 800}) as page:
        yield page
        assert page.evaluate("document.documentElement.scrollWidth") <= request.param
        cut = "[...document.querySelectorAll('main, section, figure')].filter((e) => e.scrollWidth > e.clientWidth)"
        assert page.evaluate(f"{cut}.map((e) => e.innerText.slice(0, 80))") == []


def number(value: float) -> str:
    return f"{value:.3f}"


def saved(page: Page) -> list[dict[str, str]]:
    """The rows of the file that the page's button makes."""
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    return list(csv.DictReader(io.StringIO(download.value.path().read_text(), newline="")))


def heads(page: Page) -> list[str]:
    return page.locator("#detail h2").all_text_contents()


def test_the_form_asks_for_them_and_tells_their_cost(page, posted):
    model_field(page).fill(QUICK)
    page.get_by_label("Data set").select_option("synthetic")
    asked = {"num_images": "10", "translations_px": "1", "rotations_deg": "none", "warp_rotation": "15, −7.5"}
    asked |= {"warp_scale": "1.1", "deformation": "0.5,2", "deformation_cutoff": "5", "consistency_draws": "5"}
    for name, value in asked.items():
        page.locator(f"[name={name}]").fill(value)
    for name in ("local", "variance"):
        page.locator(f"[name={name}]").select_option("1")
    page.route("**/audit", lambda route: route.fulfill(status=503, json={"title": "Full", "status": 503}))
    launch(page)
    expect(page.locator("#submit-error")).to_contain_text("The audit was not started. Full.")
    sent = json.loads(posted[-1])
    assert sent["warps"] == [{"kind": "rotation", "amounts": [15, -7.5]}, {"kind": "scale", "amounts": [1.1]}]
    assert sent["deformation"] == {"displacements_px": [0.5, 2], "cutoff": 5}
    assert (sent["local"], sent["consistency_draws"], sent["variance"]) == (True, 5, True)
    images = forward_images_of(AuditRequest.model_validate(sent))
    expect(page.locator("#cost")).to_contain_text(f"{images:,} forward images")


def test_what_is_left_out_is_not_sent(page, posted):
    model_field(page).fill(QUICK)
    page.locator("[name=warp_shear]").fill("none")
    page.locator("[name=consistency_draws]").fill("0")
    page.route("**/audit", lambda route: route.fulfill(status=503, json={"title": "Full", "status": 503}))
    launch(page)
    expect(page.locator("#submit-error")).to_be_visible()
    assert json.loads(posted[-1]).keys().isdisjoint(("warps", *MEASURES))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("warp_translation", "128.5", "from −128 to 128"),
        ("warp_rotation", "15,15", "each once"),
        ("warp_rotation", ",".join(map(str, range(37))), "up to 36"),
        ("warp_rotation", "15°", "such as 15,30,45"),
        ("warp_scale", "2", "0.8 to 1.25"),
        ("warp_shear", "0.31", "−0.3 to 0.3"),
        ("deformation", "0", "above 0"),
        ("deformation", "1,2,3,4,5,6,7,8,9", "up to 8"),
        ("deformation_cutoff", "17", "from 1 to 16"),
        ("deformation_cutoff", "3", "ask for some"),
        ("consistency_draws", "2.5", "from 0 to 100"),
    ],
)
def test_limits_are_told_before_the_service_refuses(page, posted, field, value, told):
    model_field(page).fill(QUICK)
    page.locator(f"[name={field}]").fill(value)
    launch(page)
    mistake = page.locator("label", has=page.locator(f"[name={field}]")).locator(".mistake")
    expect(mistake).to_contain_text(told)
    expect(page.locator(f"[name={field}]")).to_be_focused()
    assert posted == []


@pytest.mark.usefixtures("posted")
def test_what_the_service_refuses_of_warps_is_told_beside_them(page):
    error = {"field": "warps.0.amounts", "message": "Value error, the amounts of rotation are from -180 to 180"}
    problem = {"type": "urn:zooaudit:problem:invalid-request", "title": "Invalid", "status": 422, "errors": [error]}
    page.route("**/audit", lambda route: route.fulfill(status=422, json=problem))
    model_field(page).fill(QUICK)
    launch(page)
    expect(page.locator("fieldset[name=warps] .mistake")).to_contain_text("within the limits")
    expect(page.locator("#submit-error")).to_have_text("The audit was not started. Please look at: Warps")


def test_the_report_shows_them(stored):
    stored.goto(f"/?audit={FIRST.id}")
    expect(stored.locator("#detail table.blocks")).to_be_visible()
    narrow = stored.viewport_size["width"] == 360
    late, late_row = FIRST.parts["Late"], next(row for row in body(stored) if row[0] == "Late")
    shown = [bare(cell.replace("\n", " ").split(" ")[0]) for cell in late_row]
    for name in NAMES:
        score = getattr(late, name)
        assert {number(score.channel), number(score.layer)} <= set(shown)
        if narrow:
            assert f"interpolation {number(score.interpolation)}" in " ".join(late_row).replace("\n", " ")
        else:
            assert number(score.interpolation) in shown
    rotations = stored.get_by_role("table", name="Warp rotation, by amount")
    expect(rotations.locator("tbody tr")).to_have_count(36)
    row = rotations.get_by_role("row", name="−175°")
    expect(row).to_contain_text(number(FIRST.parts["Early"].warp_rotation.by_transform[0].channel))
    expect(stored.locator("#detail table.blocks thead")).to_contain_text("Warp shear interpolation")
    expect(stored.locator("#detail .badges").first).to_contain_text("warp rotation of 36 amounts, −175° to 175°")
    for text in ("warp scale 0.9, 1.1", "deformations 0.5, 2 px, cutoff 3", "consistency of 5 draws", "−165°"):
        expect(stored.locator("#detail dl", has_text="SHA-256 of image list")).to_contain_text(text)


def test_the_report_shows_other_measures(stored):
    stored.goto(f"/?audit={FIRST.id}")
    expect(stored.locator("#detail table.blocks")).to_be_visible()
    opinion = FIRST.parts["Late"].second_opinion
    untrained = FIRST.baseline.second_opinion["Late"]
    row = stored.get_by_role("table", name="Local equivariance error").get_by_role("row", name="Late")
    errors = [
        text for generator in GENERATORS for text in (opinion.local_error[generator], untrained.local_error[generator])
    ]
    cells = [bare(cell) for cell in row.get_by_role("cell").all_inner_texts()]
    assert cells == [number(error.value) for error in errors]
    row = stored.get_by_role("table", name="Stability to smooth deformations").get_by_role("row", name="Late")
    cells = [bare(cell) for cell in row.get_by_role("cell").all_inner_texts()]
    pairs = zip(opinion.deformation, untrained.deformation, strict=True)
    assert cells == [
        number(value)
        for measured, of_untrained in pairs
        for value in (measured.deformation, measured.noise, measured.ratio, of_untrained.ratio)
    ]
    expect(stored.get_by_text("0.5 px, gradient 0.010")).to_be_visible()
    variance = stored.get_by_role("table", name="Variance over the transforms").get_by_role("row", name="Final")
    expect(variance).to_contain_text(number(FIRST.parts["Final"].second_opinion.variance["rotation"].value))
    for name in ("local_error", "variance"):
        drawn(stored, name)
    consistency = stored.locator("section", has=stored.get_by_role("heading", name="Shift consistency"))
    for text in ("0.861 ±0.010", "0.851", "0.432", "5 pairs of windows", "up to 32 px"):
        expect(consistency).to_contain_text(text)


def test_an_interval_that_0_cuts_off_is_told_by_its_ends(stored):
    stored.goto("/")
    spread_of = "async (found) => (await import('./static/lib/format.js')).spread(...found)"
    assert stored.evaluate(spread_of, [0.075, [0, 0.252]]) == "[0.000, 0.252]"
    assert stored.evaluate(spread_of, [-0.5, [-0.51, -0.49]]) == "±0.010"
    assert stored.evaluate(spread_of, [0.5, None]) == ""


def test_the_csv_file_has_them(stored):
    stored.goto(f"/?audit={FIRST.id}")
    rows = saved(stored)

    def one(**fields: str) -> dict[str, str]:
        (match,) = [row for row in rows if fields.items() <= row.items()]
        return match

    block = FIRST.blocks[2]
    warp = one(level="block", name=block.name, transform="warp_rotation", amount="-165")
    assert float(warp["interpolation"]) == block.warp_rotation.by_transform[1].interpolation
    assert one(level="part", name="Late", transform="warp_scale", by="1.1")["channel"]
    error = one(level="block", name=block.name, measure="local_error", by="scale")
    expected = block.second_opinion.local_error["scale"]
    assert [float(error[name]) for name in ("value", "value_low", "value_high")] == [expected.value, *expected.interval]
    ratio = one(level="part", name="Late", measure="ratio", by="2 px")
    assert float(ratio["value"]) == FIRST.parts["Late"].second_opinion.deformation[1].ratio
    assert one(level="part", name="Late", measure="variance", transform="rotation")["value"]
    assert float(one(level="model", measure="consistency", by="5 draws")["value"]) == FIRST.consistency.value
    assert float(one(level="model", by="published")["value"]) == FIRST.consistency.published
    stored.goto(f"/?audit={PLAIN.id}")
    expect(stored.get_by_role("heading", name="Blocks")).to_be_visible()
    assert saved(stored)[0].keys().isdisjoint(("measure", "value", "interpolation"))


def test_a_report_that_did_not_ask_shows_nothing_of_it(stored):
    stored.goto(f"/?audit={PLAIN.id}")
    expect(stored.locator("#detail table.blocks")).to_be_visible()
    assert set(heads(stored)).isdisjoint(("Warps", *OTHER))
    assert "warp" not in stored.locator("#detail").inner_text().lower()


def test_running_again_asks_for_the_same(stored):
    audit = json.loads(stored.request.get(f"/audit/{FIRST.id}").text())
    failed = audit | {"status": "failed", "error": {"type": "about:blank", "title": "Broken", "status": 500}}
    stored.route(f"**/audit/{FIRST.id}", lambda route: route.fulfill(json=failed))
    stored.route("**/audit", lambda route: route.fulfill(status=503, json={"title": "Full", "status": 503}))
    stored.goto(f"/?audit={FIRST.id}")
    with stored.expect_request(lambda request: request.method == "POST") as sent:
        stored.get_by_role("button", name="Run again").click()
    again = AuditRequest.model_validate(sent.value.post_data_json)
    assert (again.warps, again.deformation, again.local) == (FIRST.method.warps, FIRST.method.deformation, True)
    assert (again.consistency_draws, again.variance) == (5, True)


def test_maps_under_warps_can_be_asked_for(stored):
    stored.goto(f"/?audit={ONLY_WARPS.id}")
    stored.locator("#detail a.see-it").first.click()
    asked = [f"warp {warps.kind} " for warps in ONLY_WARPS.method.warps for _ in warps.amounts]
    expect(stored.get_by_label("Transform").locator("option")).to_contain_text(asked)


@pytest.fixture
def compared(stored) -> list[Report]:
    """The reports that the comparison shows which ``stored`` has open; the last lacks a published figure and a part."""
    first, second, last = WARPED.values()
    late = last.parts["Late"].model_copy(update={"second_opinion": None})
    consistency = last.consistency.model_copy(update={"published": None, "offset_px": 40})
    last = last.model_copy(update={"parts": last.parts | {"Late": late}, "consistency": consistency})
    reports = [first, second, last]
    show_comparison(stored, reports)
    return reports


def show_comparison(stored: Page, reports: list[Report]) -> None:
    transforms = shared_method(reports[0]).transforms
    related = dict.fromkeys(transforms, comparison().accuracy["Late"].translation)
    different = differences(*(report.id for report in reports))
    scores = different.audits[0].parts["Late"].translation
    parts = {name: dict.fromkeys(transforms, scores.model_dump()) for name in PARTS}
    answer = Comparison(
        method=shared_method(reports[0]),
        audits=tuple(compared_audit(report) for report in reports),
        accuracy=dict.fromkeys(PARTS, RelatedPart(**related)),
        differences=different.model_dump() | {"audits": [{"id": each.id, "parts": parts} for each in different.audits]},
    )
    stored.route(
        "**/comparison?*", lambda route: route.fulfill(body=answer.model_dump_json(), content_type="application/json")
    )
    stored.goto("/?compare=" + ",".join(report.id for report in reports))


def test_a_comparison_has_columns_of_warps(stored, compared):
    table = stored.locator("#detail table").first
    expect(table.locator("thead")).to_contain_text("Warp shear")
    for row, report in zip(body(stored), compared, strict=True):
        late = [number(getattr(report.parts["Late"], name).channel) for name in NAMES]
        scores = row[-1 - 5 * (3 + len(NAMES)) : -1]  # a narrow screen has fewer cells before them
        assert [scores[5 * (3 + place) + 2] for place in range(len(NAMES))] == late
    for place in (1, 2, 3):  # differences, correlations, residuals
        expect(stored.locator("#detail table").nth(place).locator("thead")).to_contain_text("Warp rotation")
    expect(stored.locator("#detail .badges").first).to_contain_text("warp shear −0.1, 0.1")


def test_a_comparison_shows_other_measures(stored, compared):
    expect(stored.get_by_role("table", name="Shift consistency")).to_be_visible()
    for name in ("local_error", "variance"):
        drawn(stored, name)

    def shown(measure: str) -> list[list[str]]:
        """The cells of the measure's table, each as its number and half of its interval."""
        table = stored.get_by_role("table", name=measure)
        table.locator("..").evaluate("(box) => box.scrollTo(box.scrollWidth, 0)")
        assert table.locator("caption").bounding_box()["x"] >= 0
        links = table.locator("tbody th a")
        assert [urlsplit(link.get_attribute("href")).query for link in links.all()] == [
            f"audit={report.id}" for report in compared
        ]
        return [row.get_by_role("cell").all_inner_texts() for row in table.locator("tbody tr").all()]

    def told(value: float | None = None, interval: tuple[float, float] | None = None) -> str:
        return "–" if value is None else f"{number(value)}\n{spread(value, interval)}"

    opinions = [[report.parts[name].second_opinion for name in PARTS] for report in compared]
    for measure, title in (("local_error", "Local equivariance error"), ("variance", "Variance over")):
        keys = getattr(opinions[0][0], measure)
        magnitudes = [[of and getattr(of, measure)[key] for key in keys for of in row] for row in opinions]
        assert shown(title) == [[told(one.value, one.interval) if one else told() for one in row] for row in magnitudes]
    ratios = [[of and of.deformation[place] for place in range(2) for of in row] for row in opinions]
    assert shown("Stability to smooth deformations") == [
        [told(one.ratio, one.ratio_interval) if one else told() for one in row] for row in ratios
    ]
    measured = "0.861\n±0.010"
    assert shown("Shift consistency") == [[measured, "0.851"], [measured, "0.851"], [measured, "–"]]
    expect(
        stored.get_by_text("5 pairs of windows of each image, at random offsets of up to 32 or 40 px")
    ).to_be_visible()
    rows = saved(stored)

    def values(**fields: str) -> list[float]:
        return [float(row["value"]) for row in rows if fields.items() <= row.items()]

    late = [row[PARTS.index("Late")] for row in opinions[:-1]]
    assert values(part="Late", measure="local_error", by="shear") == [of.local_error["shear"].value for of in late]
    assert values(part="Late", measure="ratio", by="2 px") == [of.deformation[1].ratio for of in late]
    assert values(part="Late", measure="variance", transform="rotation") == [
        of.variance["rotation"].value for of in late
    ]
    assert values(measure="consistency", by="5 draws", value_low="0.8513") == [0.8613] * 3
    assert values(audit=FIRST.id, by="published", model=FIRST.model.name) == [FIRST.consistency.published]


def test_a_comparison_without_other_measures_has_nothing_of_them(stored):
    show_comparison(stored, [PLAIN, PLAIN.model_copy(update={"id": "f" * 32})])
    expect(stored.get_by_role("heading", name="Equivariance and accuracy")).to_be_visible()
    assert set(heads(stored)).isdisjoint(OTHER)
    assert list(saved(stored)[0])[-1] == "top1_agreement_p_adjusted"


def test_the_zoo_shows_any_transform_beside_translation(stored):
    stored.goto("/zoo")
    rows = stored.locator(".zoo tbody tr")
    expect(rows).to_have_count(len(MODELS))
    stored.get_by_label("Columns beside translation").select_option("warp_rotation")
    best = sorted(WARPED.values(), key=lambda report: -report.parts["Late"].warp_rotation.channel)
    expect(rows.locator(".model")).to_have_text([report.model.name for report in best])
    cell = (
        rows.first.locator("td.score:visible").last
        if stored.viewport_size["width"] == 360
        else rows.first.locator("td.score").nth(7)
    )
    expect(cell).to_have_text(number(best[0].parts["Late"].warp_rotation.channel))
    assert (
        "warp rotation" in stored.locator(".zoo .groups").inner_text().lower() or stored.viewport_size["width"] == 360
    )
    stored.reload()
    expect(rows.locator(".model")).to_have_text([report.model.name for report in best])
    stored.get_by_label("Columns beside translation").select_option("reflection")
    assert parse_qs(urlsplit(stored.url).query) == {"beside": ["reflection"]}


def test_the_scatter_plot_has_them_as_axes(stored):
    stored.goto("/zoo?view=scatter&x=deformation.Late.ratio&y=warp_rotation.Late.channel")
    plot = stored.locator(".zoo-scatter .plot")
    expect(plot.locator(".main-svg").first).to_be_visible()
    shown = plot.evaluate("(node) => node.data.flatMap((trace) => trace.y)")
    assert sorted(shown) == sorted(report.parts["Late"].warp_rotation.channel for report in WARPED.values())
    across = plot.evaluate("(node) => node.data.flatMap((trace) => trace.x)")
    ratios = [[row.ratio for row in report.parts["Late"].second_opinion.deformation] for report in WARPED.values()]
    assert sorted(across) == pytest.approx(sorted(sum(of) / len(of) for of in ratios))
    for axis in ("Across", "Up"):
        options = stored.get_by_label(axis, exact=True).locator("option")
        expect(options.filter(has_text="Shift consistency")).to_have_count(1)
        expect(options.filter(has_text="Local error, Late: scale")).to_have_count(1)


def test_a_method_with_them_has_an_address(stored):
    stored.goto("/zoo")
    method = stored.get_by_label("Method", exact=True)
    expect(method.locator("option")).to_have_count(3)
    options = method.locator("option").all_text_contents()
    assert sum("no warps" in option for option in options) == 1
    index = next(index for index, option in enumerate(options) if "no shifts" in option or "shifts none" in option)
    method.select_option(str(index))
    query = parse_qs(urlsplit(stored.url).query)
    assert query["warps"][0].endswith(" scale:0.9,1.1 shear:-0.1,0.1 translation:0.5,1.5")
    assert (query["deformation"], query["local"]) == (["0.5,2:3"], ["true"])
    assert (query["consistency_draws"], query["variance"]) == (["5"], ["true"])
