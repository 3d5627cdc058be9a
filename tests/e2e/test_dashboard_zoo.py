"""The page of the whole zoo, with 1,400 audits: rows, bars, order, filters, address, scatter plot, and a phone."""

import csv
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from zooaudit import AuditClient

from service.stack import Stack
from tests.e2e.browser import opened
from tests.e2e.harness import stack_of_reports
from tests.e2e.prefix_proxy import below_prefix
from tests.zoo_reports import zoo_report, zoo_reports

COUNT = 1400
OTHERS = 3
# The page has six decimals, and sorts what is then equal by name.
REPORTS = sorted(
    zoo_reports(COUNT), key=lambda report: (-round(report.parts["Late"].rotation.channel, 6), report.model.name)
)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory) -> Iterator[Stack]:
    """A stack without workers, with the reports of a made-up zoo in its store, three of them by another method."""
    others = [zoo_report(f"timm/other{number}", num_images=500) for number in range(OTHERS)]
    with stack_of_reports(tmp_path_factory.mktemp("zoo-stack"), (*REPORTS, *others)) as stack:
        with AuditClient(stack.url, timeout=60) as client:
            assert client.leaderboard(limit=1, wait_s=120).total == COUNT
        yield stack


@pytest.fixture
def page(browser: Browser, zoo: Stack) -> Iterator[Page]:
    with opened(browser, zoo.url, key=None) as page:
        page.goto("/zoo")
        expect(models(page)).to_have_count(COUNT)
        yield page


def models(page: Page) -> Locator:
    return page.locator(".zoo tbody tr")


def header(page: Page, column: str) -> Locator:
    """The link that sorts by a column. To find it by its role would compute the role of all elements of the page."""
    return page.locator(f"[data-key='sort:{column}']")


def query(page: Page) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(page.url).query).items()}


def names(page: Page) -> list[str]:
    return page.locator(".zoo .model").all_text_contents()


def test_each_model_has_a_row_with_bars_and_intervals_and_a_click_opens_its_report(page):
    assert names(page) == [report.model.name for report in REPORTS]
    first = models(page).first
    late = REPORTS[0].parts["Late"].rotation
    bar = first.locator("td.score").filter(has_text=f"{late.channel:.3f}")
    drawn = bar.evaluate("(cell) => ['--value', '--low', '--high'].map((name) => cell.style.getPropertyValue(name))")
    assert [float(value) for value in drawn] == pytest.approx([late.channel, *late.channel_interval], abs=1e-6)
    bar.hover()
    assert "95 % confidence interval" in bar.get_attribute("title")
    last = models(page).last
    last.scroll_into_view_if_needed()
    expect(last.locator("td.score")).to_have_count(10)
    models(page).first.locator("a").click()
    expect(page.get_by_role("heading", name=REPORTS[0].model.name)).to_be_visible()
    assert query(page) == {"audit": REPORTS[0].id}
    page.go_back()
    expect(models(page)).to_have_count(COUNT)


def test_headers_sort_and_the_address_keeps_the_order(page):
    header(page, "parameters").click()
    largest = max(REPORTS, key=lambda report: report.model.parameters)
    expect(models(page).first).to_contain_text(largest.model.name)
    assert query(page) == {"sort": "-parameters"}
    expect(page.locator("th", has=header(page, "parameters"))).to_have_attribute("aria-sort", "descending")
    header(page, "translation.Pool").click()
    best = max(REPORTS, key=lambda report: report.parts["Pool"].translation.channel)
    expect(models(page).first).to_contain_text(best.model.name)
    page.reload()
    expect(models(page)).to_have_count(COUNT)
    expect(models(page).first).to_contain_text(best.model.name)
    page.get_by_label("Score", exact=True).select_option("layer")
    assert query(page) == {"sort": "-translation.Pool", "score": "layer"}
    expect(models(page).first.locator("td.score").nth(3)).to_have_text("0.950")


def test_filters_leave_rows_out_and_a_link_shows_the_same(page, browser, zoo):
    page.get_by_label("Family", exact=True).select_option("regnet")
    page.get_by_label("Parameters, M, from").fill("20")
    page.get_by_label("Top-1, %, to").fill("80,5")
    wanted = [
        report.model.name
        for report in REPORTS
        if report.model.family == "regnet"
        and report.model.parameters >= 20_000_000
        and report.model.imagenet_top1 is not None
        and report.model.imagenet_top1 <= 80.5
    ]
    assert 0 < len(wanted) < 100
    expect(models(page)).to_have_count(len(wanted))
    assert names(page) == wanted
    assert query(page) == {"family": "regnet", "min_size": "20", "max_top1": "80,5"}
    with opened(browser, zoo.url, key=None) as other:
        other.goto(page.url)
        expect(models(other)).to_have_count(len(wanted))
        expect(other.get_by_label("Parameters, M, from")).to_have_value("20")
    page.get_by_label("Tick all models shown").check()
    expect(page.locator("#compare-models", has_text=f"Compare ({len(wanted)})")).to_have_attribute(
        "aria-disabled", "false"
    )
    page.get_by_label("Words of the model’s name").fill("no such model")
    expect(page.get_by_text("No model matches these filters.")).to_be_visible()
    page.locator(".zoo-filters .clear").click()
    expect(models(page)).to_have_count(COUNT)
    page.locator(".zoo-card a", has_text="Untick all").click()
    for index in (1, 0):
        models(page).nth(index).locator("input").check()
    page.locator("#compare-models", has_text="Compare (2)").click()
    expect(page.locator("#detail table.compared").first.locator("tbody tr")).to_have_count(2)


def test_another_method_is_another_leaderboard(page):
    page.get_by_label("Method", exact=True).select_option(label=f"{OTHERS} models · 500 images")
    expect(models(page)).to_have_count(OTHERS)
    assert query(page)["num_images"] == "500"
    page.reload()
    expect(models(page)).to_have_count(OTHERS)
    page.goto("/zoo?num_images=7")
    expect(page.get_by_text("Choose another method.")).to_be_visible()
    page.goto("/zoo?num_images=many")
    expect(page.locator("#detail .notice.bad")).to_contain_text("Give a whole number from 1 to 100,000.")
    page.get_by_role("link", name="The whole zoo").click()
    expect(models(page)).to_have_count(COUNT)


def test_the_csv_file_has_the_rows_that_are_shown(page):
    page.get_by_label("Family", exact=True).select_option("swin_transformer")
    shown = [report for report in REPORTS if report.model.family == "swin_transformer"]
    expect(models(page)).to_have_count(len(shown))
    with page.expect_download() as download:
        page.locator("button", has_text="CSV").click()
    lines = list(csv.DictReader(download.value.path().read_text("utf-8").splitlines()))
    assert [line["audit"] for line in lines] == [report.id for report in shown]
    late = shown[0].parts["Late"].rotation
    assert float(lines[0]["rotation.Late.channel"]) == pytest.approx(late.channel, abs=1e-6)
    assert float(lines[0]["rotation.Late.channel_low"]) == pytest.approx(late.channel_interval[0], abs=1e-6)


def test_a_scatter_plot_shows_any_two_columns_and_a_click_opens_a_report(page):
    page.locator(".switch a", has_text="Scatter plot").click()
    plot = page.locator(".zoo-scatter .plot")
    expect(plot.locator(".main-svg").first).to_be_visible()
    known = [report for report in REPORTS if report.model.imagenet_top1 is not None]
    expect(page.get_by_text(f"{len(known):,} of {COUNT:,} models have both")).to_be_visible()
    assert plot.evaluate("(node) => node.data.reduce((sum, trace) => sum + trace.x.length, 0)") == len(known)
    page.get_by_label("Across", exact=True).select_option("parameters")
    page.get_by_label("Up", exact=True).select_option("translation.Final.channel")
    page.get_by_label("Words of the model’s name").fill(REPORTS[5].model.name)
    expect(page.get_by_text("1 model; a click opens the report")).to_be_visible()
    expect(plot.locator(".point")).to_have_count(1)
    assert plot.evaluate("(node) => [node.data[0].x[0], node.data[0].y[0]]") == pytest.approx(
        [REPORTS[5].model.parameters, REPORTS[5].parts["Final"].translation.channel], abs=1e-6
    )
    assert query(page) | {"q": ""} == {"view": "scatter", "x": "parameters", "y": "translation.Final.channel", "q": ""}
    page.reload()
    expect(plot.locator(".point")).to_have_count(1)
    box = plot.locator(".point").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.get_by_role("heading", name=REPORTS[5].model.name)).to_be_visible()


def test_a_phone_shows_the_model_and_one_score(browser, zoo):
    with opened(browser, zoo.url, key=None, viewport={"width": 390, "height": 844}) as page:
        page.goto("/zoo")
        expect(models(page)).to_have_count(COUNT)
        shown = models(page).first.locator("td.score:visible")
        expect(shown).to_have_text([f"{REPORTS[0].parts['Late'].rotation.channel:.3f}"])
        page.get_by_label("Sort the models by").select_option(label="Translation, Early")
        best = max(REPORTS, key=lambda report: report.parts["Early"].translation.channel)
        expect(shown).to_have_text([f"{best.parts['Early'].translation.channel:.3f}"])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator(".switch a", has_text="Scatter plot").click()
        expect(page.locator(".zoo-scatter .main-svg").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_zoo_is_reached_from_every_page_also_below_a_path(browser, zoo):
    with below_prefix(zoo.url) as (home, strays), opened(browser, home, key=None) as page:
        page.goto("./")
        expect(page.locator("#audits tr").first).to_be_visible()
        page.locator("#zoo-link").click()
        expect(models(page)).to_have_count(COUNT)
        assert page.url == f"{home}zoo"
        page.get_by_label("Family", exact=True).select_option("regnet")
        models(page).first.locator("a").click()
        expect(page.locator("#detail .facts")).to_be_visible()
        assert page.url.startswith(f"{home}?audit=")
        page.locator("#zoo-link").click()
        expect(page.get_by_label("Family", exact=True)).to_have_value("regnet")
        page.get_by_role("link", name="Audits", exact=True).click()
        expect(page.get_by_role("heading", name="Audits", exact=True)).to_be_visible()
        assert page.url == home
    assert strays == []


def test_all_filters_stand_in_one_row(page):
    fields = page.locator(".zoo-filters :is(input, select)").all()
    assert len(fields) == 8
    ends = [box["y"] + box["height"] for box in (field.bounding_box() for field in fields)]
    assert max(ends) - min(ends) < 3
