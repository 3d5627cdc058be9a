"""The words beside numbers explain themselves to pointer, keyboard and touch, and lead to the page of the measure."""

import re

import pytest
from playwright.sync_api import Page, expect
from zooaudit.contract import TERMS

from tests.e2e.browser import KEY, QUICK, drawn, finished, opened

LAYER = "#detail table.scores a[data-term=layer]"


def explains(page: Page, name: str) -> None:
    expect(page.get_by_role("tooltip")).to_contain_text(TERMS[name].meaning)


def test_a_word_is_explained_to_the_pointer_and_to_the_keyboard(page, client):
    page.goto(f"/?audit={finished(client).id}")
    page.wait_for_load_state("networkidle")  # what loads above the word moves it away from the pointer
    word = page.locator(LAYER).first
    word.hover()
    explains(page, "layer")
    page.get_by_role("tooltip").hover()  # one may go there, to select its text or follow its link
    explains(page, "layer")
    page.locator("#detail h1").hover()
    expect(page.get_by_role("tooltip")).to_be_hidden()

    page.locator("#detail table.scores a[data-term=channel]").first.focus()
    explains(page, "channel")
    page.keyboard.press("Tab")
    explains(page, "layer")
    expect(word).to_have_accessible_description(re.compile(re.escape(TERMS["layer"].meaning)))
    page.keyboard.press("Escape")
    expect(page.get_by_role("tooltip")).to_be_hidden()
    page.keyboard.press("Enter")
    page.wait_for_url("**/method#layer")
    expect(page.locator("#layer")).to_be_in_viewport()
    expect(page.locator("h1")).to_have_text("The measure")
    page.get_by_role("link", name="zooaudit").click()
    expect(page.get_by_role("heading", name="Audits")).to_be_visible()


def test_a_word_beside_a_link_that_sorts_has_a_mark(page, client):
    page.goto(f"/?audit={finished(client).id}")
    page.get_by_role("link", name="What dead means").focus()
    explains(page, "dead-channels")


def test_a_tap_explains_and_another_leads_on(browser, service, client):
    identifier = finished(client).id
    with opened(browser, service.url, key=KEY, viewport={"width": 390, "height": 800}, has_touch=True) as page:
        page.goto(f"/?audit={identifier}")
        page.locator(LAYER).first.tap()
        explains(page, "layer")
        box = page.get_by_role("tooltip").bounding_box()
        assert box
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 390
        page.get_by_role("tooltip").get_by_role("link").tap()
        page.wait_for_url("**/method#layer")


@pytest.mark.parametrize("name", ["interval", "top1-agreement", "early"])
def test_every_link_leads_to_its_word(page, service, name):
    page.goto(f"/method#{name}")
    expect(page.locator(f"[id='{TERMS[name].anchor}']")).to_be_in_viewport()
    assert page.evaluate("document.querySelector(':target').id") == name
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("performance.getEntriesByType('resource').every((entry) => !entry.name.endsWith('.js'))")
    assert service.url in page.url


def test_the_page_of_the_measure_fits_a_phone(browser, service):
    with opened(browser, service.url, key=KEY, viewport={"width": 360, "height": 780}) as page:
        page.goto("/method")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        boxes = "[...document.querySelectorAll('table')].map((table) => table.clientWidth)"
        assert max(page.evaluate(boxes)) <= 360


def test_scores_so_far_explain_themselves(page, client):
    audit = finished(client)
    parts = {
        name: {"translation": {"channel": 0.5, "layer": 0.6}, "rotation": {"channel": 0.1, "layer": 0.2}}
        for name in ("Early", "Pool")
    }
    seen = audit.model_dump(mode="json") | {"status": "running", "finished_at": None}
    seen["progress"] = {"phase": "measuring", "done": 1, "total": 2, "unit": "forward images", "eta_s": None}
    seen["progress"]["provisional"] = {"images": 1, "parts": parts}
    page.route(f"**/audit/{audit.id}", lambda route: route.fulfill(json=seen))
    page.goto(f"/?audit={audit.id}")
    expect(page.locator("#detail table caption")).to_contain_text("So far, from 1 image: equivariance by depth")
    page.locator("#detail table a[data-term=pool]").hover()
    explains(page, "pool")


def test_on_a_phone_the_words_below_a_score_explain_themselves(browser, service, client):
    identifier = finished(client, num_images=24).id
    with opened(browser, service.url, key=KEY, viewport={"width": 360, "height": 780}, has_touch=True) as page:
        page.goto(f"/?audit={identifier}")
        for name in ("aligned", "layer-held-out"):
            page.locator(f"#detail td a[data-term={name}]:visible").first.tap()
            explains(page, name)


@pytest.mark.parametrize("width", [1280, 360])
def test_the_pages_of_the_zoo_and_of_maps_explain_their_numbers(browser, service, client, width):
    audit = finished(client)
    with opened(browser, service.url, key=KEY, viewport={"width": width, "height": 780}) as page:
        page.goto("/zoo")
        page.locator("#detail table.zoo a[data-term=interval]").hover()
        explains(page, "interval")
        page.get_by_label("Score", exact=True).select_option("layer")
        page.locator("#detail table.zoo caption a[data-term=layer]").hover()
        explains(page, "layer")
        page.goto("/zoo?view=scatter")
        page.locator(".zoo-scatter a[data-term=top1-agreement]").hover()
        explains(page, "top1-agreement")
        page.goto(f"/?explain={audit.id}&image=0")
        page.locator("#detail p.note a[data-term=channel]").hover()
        explains(page, "channel")
        page.get_by_role("link", name="More on this").first.click()
        expect(page.locator("#seeing-it")).to_be_in_viewport()
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Zoo").click()
        expect(page.get_by_role("heading", name="The zoo")).to_be_visible()


@pytest.mark.parametrize("width", [1000, 1280, 1900])
def test_figures_stand_side_by_side_without_large_blanks(browser, service, client, width):
    ids = [finished(client, model, num_images=24).id for model in (QUICK, "timm/test_vit.r160_in1k")]
    with opened(browser, service.url, key=KEY, viewport={"width": width, "height": 900}) as page:
        for address in (f"/?audit={ids[0]}", f"/?compare={','.join(ids)}"):
            page.goto(address)
            expect(page.locator("#detail figure .main-svg:visible").last).to_be_visible()
            drawn(page, "agreement")
            plots = [plot.bounding_box() for plot in page.locator("#detail figure .plot:visible").all()]
            assert len(plots) == 4
            for left, right in (plots[:2], plots[2:]):
                assert abs(left["y"] - right["y"]) < 2
                assert abs(left["height"] - right["height"]) < 150
