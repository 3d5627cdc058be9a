"""The dashboard's model: what an audit would measure, from the form and back to it."""

import httpx
from playwright.sync_api import expect

from tests.e2e.browser import MODEL_ENTRY, QUICK, body


def test_a_model_s_depth_from_the_form_and_back(page, service):
    page.goto("/")
    page.get_by_role("combobox", name="Model").fill("timm/test_resnet")
    page.locator("[role=option]", has_text=QUICK).click()
    page.get_by_role("link", name="What an audit of this model measures").click()
    expect(page.locator("#detail h1")).to_have_text(QUICK)
    table = page.get_by_role("table", name="blocks, in the order in which they run")
    expect(table).to_be_visible()
    depth = httpx.get(f"{service.url}/models/{QUICK}").json()
    assert depth["blocks"]
    assert body(page) == [
        [one["name"], one["part"], f"{one['channels']:,}", f"{one['height']} × {one['width']}", one["layout"]]
        for one in depth["blocks"]
    ]
    expect(page.locator(".facts")).to_contain_text(f"{depth['input_size']} px")
    page.get_by_role("link", name="Audit…").click()
    expect(page.get_by_role("combobox", name="Model")).to_have_value(QUICK)


def test_blocks_are_waited_for(page):
    answers = iter([{"blocks": None, "blocks_reason": "A worker is finding them; ask again."}])
    block = {"name": "layer1", "part": "Early", "channels": 3, "height": 4, "width": 5, "layout": "NHWC"}

    def serve(route):
        later = next(answers, None)
        headers = {"Retry-After": "1"} if later else {}
        route.fulfill(json=MODEL_ENTRY | (later or {"blocks": [block]}), headers=headers)

    page.route("**/models/*/*", serve)
    page.goto("/?model=timm/odd")
    expect(page.locator("#detail .notice")).to_have_text("A worker is finding them; ask again.")
    expect(page.locator("#detail table")).to_be_visible()
    assert body(page) == [["layer1", "Early", "3", "4 × 5", "NHWC"]]


def test_an_unknown_name_brings_close_ones(page):
    page.goto("/?model=timm/test_resnot")
    expect(page.locator("#detail .notice")).to_contain_text("No zoo has 'timm/test_resnot'.")
    page.get_by_role("link", name="timm/test_resnet", exact=True).click()
    expect(page.locator("#detail h1")).to_have_text(QUICK)
