"""The pages show all that an audit has measured, and nothing of what it was not asked for."""

import csv
import io
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from zooaudit.contract import GENERATORS, WARPS, Report, summary_of
from zooaudit.site.columns import PublishedRow, csv_text

from service.stack import Stack
from tests.e2e.browser import body, opened, spread
from tests.e2e.harness import stack_of_reports
from tests.e2e.test_dashboard_warps import heads, number, saved, show_comparison
from tests.warped_reports import warped_report

NOTHING_EXACT = {"translations_px": (), "rotations_deg": (), "reflections": (), "baseline": False}
NO_MEASURES = {"deformation": None, "local": False, "consistency_draws": 0, "variance": False}
FULL, ALSO_FULL = (warped_report(f"timm/resnet{depth}.a1_in1k") for depth in (18, 34))
ONLY_WARPS = [warped_report(f"timm/resnet{depth}.a1_in1k", **NOTHING_EXACT) for depth in (50, 101)]
MIRRORED = warped_report(
    "timm/test_vit.r160_in1k", **(NOTHING_EXACT | NO_MEASURES | {"reflections": ("horizontal",), "warps": ()})
)
BY_BLOCK = "Other measures by block"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[Stack]:
    """A stack without workers, with these reports in its store."""
    with stack_of_reports(tmp_path_factory.mktemp("asked-stack"), (FULL, ALSO_FULL, *ONLY_WARPS, MIRRORED)) as stack:
        yield stack


@pytest.fixture(params=[1360, 390])
def page(request: pytest.FixtureRequest, browser: Browser, store: Stack) -> Iterator[Page]:
    """A page on a wide and on a narrow screen, wider than which nothing may be."""
    with opened(browser, store.url, key=None, viewport={"width": request.param, "height": 800}) as page:
        yield page
        assert page.evaluate("document.documentElement.scrollWidth") <= request.param


def groups(table: Locator) -> list[str]:
    """The transforms in the header of a table; a narrow screen has some headers of its own."""
    return list(dict.fromkeys(table.locator("thead .group").all_text_contents()))


def test_each_block_has_its_other_measures_in_a_table_that_unfolds(page):
    page.goto(f"/?audit={FULL.id}")
    card = page.locator("section", has=page.get_by_role("heading", name=BY_BLOCK))
    table = card.locator("table")
    expect(table).to_be_hidden()
    card.locator("summary").click()
    expect(table).to_be_visible()
    rows = table.locator("tbody tr")
    expect(rows).to_have_count(len(FULL.blocks))
    for row, block in zip(rows.all(), FULL.blocks, strict=True):
        expect(row.locator("th")).to_have_text(f"{block.name}{block.part}")
        opinion = block.second_opinion
        found = [opinion.local_error[generator] for generator in GENERATORS]
        told = [(one.value, one.interval) for one in found]
        told += [(one.ratio, one.ratio_interval) for one in opinion.deformation]
        told += [(one.value, one.interval) for one in opinion.variance.values()]
        assert row.locator("td").all_text_contents() == [number(value) + spread(value, ends) for value, ends in told]
    for name in ("local-equivariance-error", "deformation-stability", "transformational-variance"):
        expect(table.locator(f"thead a[data-term={name}]")).to_be_visible()
    if page.viewport_size["width"] == 390:
        expect(card.get_by_text("Scroll sideways to see all columns")).to_be_visible()
        first = rows.first.locator("td").first.bounding_box()
        assert 0 < first["x"] < first["x"] + first["width"] < 390


@pytest.mark.parametrize(
    ("report", "labels"),
    [(ONLY_WARPS[0], [name.capitalize().replace("_", " ") for name in WARPS.values()]), (MIRRORED, ["Reflection"])],
    ids=["warps", "reflections"],
)
def test_a_report_has_nothing_of_transforms_that_were_not_asked_for(page, report, labels):
    page.goto(f"/?audit={report.id}")
    blocks = page.locator("#detail table.blocks")
    expect(blocks).to_be_visible()
    assert groups(page.locator("#detail table").first) == labels
    assert not {"Transl. channel", "Rotation channel"} & set(blocks.locator("thead .sorter").all_text_contents())
    assert f"{labels[0]} channel" in blocks.locator("thead").inner_text()
    expect(page.locator("#detail section", has_text="was asked for")).to_have_count(0)
    expect(page.locator("[data-figure=parts]")).to_be_visible()
    expect(page.locator("[data-figure=shifts]")).to_have_count(0)
    expect(page.locator("#detail dl", has_text="SHA-256 of image list")).to_contain_text("shifts none · rotations none")
    if report is MIRRORED:
        assert BY_BLOCK not in heads(page)


def test_scores_so_far_are_of_what_was_asked_for(page):
    audit = page.request.get(f"/audit/{MIRRORED.id}").json() | {"status": "running", "finished_at": None}
    nothing, score = {"channel": None, "layer": None}, {"channel": 0.5, "layer": 0.6}
    parts = {"Early": {"translation": nothing, "rotation": nothing, "reflection": score}}
    audit["progress"] = {"phase": "measuring", "done": 1, "total": 2, "unit": "forward images", "eta_s": None}
    audit["progress"]["provisional"] = {"images": 1, "parts": parts}
    page.route(f"**/audit/{MIRRORED.id}", lambda route: route.fulfill(json=audit))
    page.goto(f"/?audit={MIRRORED.id}")
    expect(page.locator("#detail table tbody")).to_have_text("Early0.5000.600")


def test_a_comparison_has_nothing_of_transforms_that_were_not_asked_for(page):
    show_comparison(page, ONLY_WARPS)
    labels = [name.capitalize().replace("_", " ") for name in WARPS.values()]
    tables = page.locator("#detail table")
    expect(tables.first.locator("tbody tr")).to_have_count(2)
    for place in range(4):  # scores, differences, correlations, residuals
        assert groups(tables.nth(place)) == labels
    expect(page.locator("[data-figure=shifts]")).to_have_count(0)
    late = number(ONLY_WARPS[0].parts["Late"].warp_translation.channel)
    assert body(page)[0][-1 - 5 * len(labels) + 2] == late


def shown_score(page: Page, place: int) -> Locator:
    """A cell of the first row: on a narrow screen the one that is shown, which is the one that sorts."""
    row = page.locator(".zoo tbody tr").first
    narrow = page.viewport_size["width"] == 390
    return row.locator("td.score:visible") if narrow else row.locator("td.score").nth(place)


def test_the_zoo_has_only_what_its_method_asks_for(page):
    page.goto("/zoo?translations_px=none&rotations_deg=none&warps=none")
    expect(page.locator(".zoo tbody tr")).to_have_count(1)
    expect(page.locator(".zoo tbody tr").first.locator("td.score")).to_have_count(5)
    expect(shown_score(page, 2)).to_have_text(number(MIRRORED.parts["Late"].reflection.channel))
    assert groups(page.locator(".zoo")) == ["Reflection"]
    expect(page.get_by_text("Reflection and")).to_be_hidden()

    page.goto("/zoo?translations_px=none&rotations_deg=none&local=true")
    expect(page.locator(".zoo tbody tr")).to_have_count(2)
    assert groups(page.locator(".zoo")) == ["Warp translation", "Warp rotation"]
    page.get_by_label("Columns beside warp translation").select_option("warp_shear")
    best = max(ONLY_WARPS, key=lambda report: report.parts["Late"].warp_shear.channel)
    expect(shown_score(page, 7)).to_have_text(number(best.parts["Late"].warp_shear.channel))
    page.get_by_role("link", name="Scatter plot").click()
    expect(page.get_by_label("Up", exact=True)).to_have_value("warp_translation.Late.channel")


@pytest.mark.parametrize(
    ("query", "reports"),
    [("rotations_deg=90,180,270", [FULL, ALSO_FULL]), ("rotations_deg=none&warps=none", [MIRRORED])],
    ids=["all", "reflections"],
)
def test_the_zoos_csv_has_the_measures_under_the_names_of_a_published_site(
    page: Page, query: str, reports: list[Report]
):
    page.goto(f"/zoo?{query}")
    expect(page.locator(".zoo tbody tr")).to_have_count(len(reports))
    published = csv_text([PublishedRow(summary_of(report), None, True) for report in reports])
    ours = {row["audit"]: row for row in saved(page)}
    measures = ("local_error", "variance_", "deformation_ratio", "interpolation", "consistency")
    for theirs in csv.DictReader(io.StringIO(published, newline="")):
        row = ours[theirs["id"]]
        names = [name for name in theirs if any(measure in name for measure in measures)]
        names = [name for name in names if name != "consistency_draws"]  # is of the method, as "variance" is
        assert [name for name in row if name in names or any(measure in name for measure in measures)] == names
        assert [float(row[name] or "nan") for name in names] == pytest.approx(
            [float(theirs[name] or "nan") for name in names], abs=1e-6, nan_ok=True
        )
        assert bool(names) == (reports[0] is not MIRRORED)


@pytest.mark.parametrize("imported", [False, True])
def test_the_words_that_lead_to_maps_are_text_and_an_imported_report_says_what_they_need(page, imported):
    if imported:
        audit = page.request.get(f"/audit/{FULL.id}").json() | {"imported": {"at": "2026-01-01T00:00:00Z", "who": "me"}}
        page.route(f"**/audit/{FULL.id}", lambda route: route.fulfill(json=audit))
    page.goto(f"/?audit={FULL.id}")
    blocks = page.locator("#detail table.blocks")
    expect(blocks.get_by_text("see it")).to_have_count(sum(b.part not in ("Pool", "Final") for b in FULL.blocks))
    expect(page.get_by_text("This report was measured elsewhere")).to_have_count(int(imported))


def test_shifts_that_go_right_and_down_say_so(page):
    page.goto(f"/?audit={FULL.id}")
    expect(page.get_by_role("table", name="Warp translation, by amount, right and down at once")).to_be_visible()
    page.goto("/")
    expect(page.locator("#warp-translation-hint")).to_contain_text("right and down")
