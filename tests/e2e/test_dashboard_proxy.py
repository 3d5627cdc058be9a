"""The dashboard behind a reverse proxy that serves it below a path: nothing that it asks for lies elsewhere."""

import re

from playwright.sync_api import expect

from tests.e2e.browser import QUICK, drawn, finished, opened, rows
from tests.e2e.prefix_proxy import below_prefix

OTHER = "timm/test_vit.r160_in1k"


def test_launch_follow_report_and_compare_below_a_path(browser, service, client):
    finished(client, OTHER, seed=11)
    with below_prefix(service.url) as (home, strays), opened(browser, home) as page:
        page.goto("./")
        expect(page.locator("#health")).to_contain_text("worker")
        model = page.get_by_role("combobox", name="Model")
        model.press_sequentially("test_resnet.r160")
        expect(page.get_by_role("option", name=QUICK)).to_be_visible()
        model.press("Enter")
        page.get_by_label("Weights").select_option("untrained")
        page.get_by_label("Data set").select_option("synthetic")
        page.get_by_label("Images").fill("4")
        page.locator("details").evaluate("(node) => node.open = true")
        page.get_by_label("Shifts").fill("1,2")
        page.get_by_label("Seed").fill("11")
        page.get_by_role("button", name="Audit", exact=True).click()
        expect(page.locator("#detail table.blocks")).to_be_visible()
        assert re.fullmatch(re.escape(home) + r"\?audit=[0-9a-f]{32}", page.url)
        drawn(page, "depth")
        with page.expect_download() as download:
            page.get_by_role("link", name="JSON").click()
        assert QUICK in download.value.path().read_text("utf-8")
        page.get_by_role("link", name="Model", exact=True).click()
        expect(page.locator("#detail table.blocks")).to_be_visible()
        page.go_back()
        page.get_by_role("link", name="Compare with…").click()
        expect(page).to_have_url(re.compile(re.escape(home) + r"\?ticked="))
        rows(page).filter(has_text="seed 11").filter(has_text=OTHER).get_by_role("checkbox").check()
        page.get_by_role("link", name="Compare (2)").click()
        drawn(page, "parts")
        page.reload()
        expect(page.locator("#detail table").first.locator("tbody tr")).to_have_count(2)
        page.get_by_role("link", name="layer", exact=True).click()
        assert page.url.startswith(home)
        assert page.url.endswith("&kind=layer")
        page.go_back()
        page.locator("a.brand").click()
        expect(page.get_by_role("heading", name="Audits", exact=True)).to_be_visible()
        page.locator("a.brand").click()
        expect(page).to_have_url(home)
    assert strays == []
