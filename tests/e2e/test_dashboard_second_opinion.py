"""The dashboard's second opinion: the matrix of an audit and of a comparison, on a phone, too."""

import csv
import io
import json
import re

import pytest
from playwright.sync_api import expect
from zooaudit.contract import TERMS
from zooaudit.views import figures

from service.comparison import compare
from service.second_opinion import over_models
from tests.e2e.browser import finished, opened
from tests.e2e.test_dashboard_access import LOW_CONTRAST
from tests.service.test_second_opinion import audited, pair_of

TABLE = "#detail table.measures"


def text_of(rho: float | None) -> str:
    return "–" if rho is None else f"{rho:+.2f}".replace("-", "−")


def test_the_measures_of_one_audit(page, client):
    audit = finished(client)
    agreement = client.second_opinion(audit.id)
    (matrix,) = agreement.matrices
    page.goto(f"/?audit={audit.id}")
    page.get_by_role("link", name="Second opinion").click()
    expect(page.locator("#detail h1")).to_have_text(f"Second opinion: {audit.request.model}")
    expect(page.get_by_text(matrix.summary)).to_be_visible()
    for note in agreement.notes:
        expect(page.get_by_text(note)).to_be_visible()
    first, second = matrix.measures[:2]
    row = page.locator(f"{TABLE} tbody tr").filter(has=page.get_by_role("link", name=second.label, exact=True))
    cell = row.get_by_role("cell").first
    pair = pair_of(matrix, first.name, second.name)
    expect(cell).to_have_text(re.compile(re.escape(text_of(pair.rho))))
    assert pair.interval is None or f"{text_of(pair.interval[0])} to {text_of(pair.interval[1])}" in cell.inner_text()
    expect(page.get_by_role("columnheader", name=first.label, exact=True)).to_have_text("1")
    page.get_by_role("link", name=first.label, exact=True).hover()
    expect(page.get_by_role("tooltip")).to_contain_text(TERMS["translation"].meaning)
    expect(page.locator("#detail [data-figure=measures] .main-svg").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(), newline="")))
    assert [(one["first"], one["second"]) for one in rows] == [(pair.first, pair.second) for pair in matrix.pairs]


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1360, "dark")])
def test_the_measures_over_models_fit_every_width(browser, service, width, scheme):
    reports = [audited(seed, top1=70 + seed) for seed in range(8)]
    agreement = over_models(compare(reports))
    ids = ",".join(report.id for report in reports)
    with opened(browser, service.url, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
        drawing = {"measures": figures.measures(agreement)}
        page.route("**/comparison/second-opinion?*", lambda route: route.fulfill(body=agreement.model_dump_json()))
        page.route("**/comparison/second-opinion/figures?*", lambda route: route.fulfill(body=json.dumps(drawing)))
        page.goto(f"/?second-opinion={ids}&top1=70,,,,,,,")
        expect(page.locator("#detail h1")).to_have_text("Second opinion: 8 models")
        expect(page.locator("#detail [data-figure=measures] .main-svg").first).to_be_visible()
        plot = page.locator("#detail [data-figure=measures] .plot")
        shown = plot.evaluate("(plot) => plot.layout.coloraxis.colorscale")
        drawn = [colour for _, colour in drawing["measures"]["layout"]["coloraxis"]["colorscale"]]
        wanted = {"light": drawn, "dark": ["#f0883e", "#2b343e", "#56a9e0"]}  # 0 is near the page's own colour
        assert [colour for _, colour in shown] == wanted[scheme]
        narrowest = drawing["measures"]["layout"]["meta"]["narrowest_px"]
        box, plot = (
            page.locator(f"#detail [data-figure=measures] {name}") for name in (".scroll", ".main-svg >> nth=0")
        )
        assert plot.bounding_box()["width"] == max(narrowest, box.evaluate("(node) => node.clientWidth"))
        page.get_by_role("link", name="Late", exact=True).first.click()
        matrix = next(one for one in agreement.matrices if one.level == "Late")
        expect(page.get_by_text(matrix.summary)).to_be_visible()
        measures = matrix.measures
        numbers = page.locator(f"{TABLE} tbody tr").last.get_by_role("cell")
        pairs = [pair_of(matrix, measures[-1].name, column.name) for column in measures[:-1]]
        expect(numbers).to_have_text([*(text_of(pair.rho) for pair in pairs), ""])
        assert "ImageNet top-1" in page.locator(f"{TABLE} tbody tr").last.inner_text()
        assert f"n {pairs[0].n}" in numbers.first.get_attribute("title")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        cut = "[...document.querySelectorAll('main, section, figure')].filter((e) => e.scrollWidth > e.clientWidth)"
        assert page.evaluate(f"{cut}.length") == 0
        assert page.evaluate(LOW_CONTRAST) == []
        page.go_back()
        expect(page.get_by_text(agreement.matrices[0].summary)).to_be_visible()
        page.get_by_role("link", name="Comparison", exact=True).click()
        page.wait_for_url(f"**/?compare={ids}&top1=70,,,,,,,")
