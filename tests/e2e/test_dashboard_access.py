"""The dashboard for everybody: every width, both schemes, contrast, names for a screen reader, paper."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.client.samples import sharing
from tests.e2e.browser import QUICK, drawn, finished, measuring, opened, rows

MODELS = (QUICK, "timm/test_vit.r160_in1k")

LOW_CONTRAST = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = (one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
  const luminance = (rgb) => rgb.map((one) => linear(one / 255))
    .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const texts = [...node.childNodes].filter((child) => child.nodeType === 3);
    const text = texts.map((child) => child.data.trim()).join("");
    const style = getComputedStyle(node);
    const off = node.closest("[hidden], [aria-disabled=true], :disabled, svg, .unseen, .skip, dialog:not([open])");
    if (!text || off || !node.checkVisibility()) continue;
    const grounds = [];
    for (let one = node; one; one = one.parentElement) grounds.unshift(getComputedStyle(one).backgroundColor);
    const [ground, ink] = [paint(grounds), paint([...grounds, style.color])].map(luminance);
    const ratio = (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`${text}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""


@pytest.fixture
def addresses(client) -> dict[str, str]:
    ids = [finished(client, model, num_images=40).id for model in MODELS]
    return {"list": "/", "report": f"/?audit={ids[0]}", "comparison": f"/?compare={','.join(ids)}"}


def opened_whole(page: Page, name: str, address: str) -> None:
    page.goto(address)
    expect(page.locator("#health")).to_contain_text("worker")
    if name == "list":
        expect(rows(page).first).to_be_visible()
    else:
        drawn(page, "depth")


@pytest.mark.parametrize(
    ("width", "scheme"), [(320, "light"), (360, "dark"), (768, "light"), (1360, "light"), (1360, "dark")]
)
def test_it_fits_every_width_and_scheme(browser, service, addresses, width, scheme):
    with opened(browser, service.url, color_scheme=scheme, viewport={"width": width, "height": 850}) as page:
        for name, address in addresses.items():
            opened_whole(page, name, address)
            assert page.evaluate("document.documentElement.scrollWidth") == width, name
            cut = "[...document.querySelectorAll('main, section, figure')].filter((e) => e.scrollWidth > e.clientWidth)"
            assert page.evaluate(f"{cut}.length") == 0, name
            assert page.evaluate(LOW_CONTRAST) == [], name


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (320, "dark"), (1360, "dark")])
def test_the_shards_of_an_audit_fit_every_width_and_scheme(browser, service, client, width, scheme):
    audit = finished(client)
    with opened(browser, service.url, color_scheme=scheme, viewport={"width": width, "height": 850}) as page:
        measuring(page, audit, sharing())
        page.goto(f"/?audit={audit.id}")
        table = page.get_by_role("table", name="3 workers take part")
        for name in ("Transforms", "Progress in forward images"):
            expect(table.get_by_role("columnheader", name=name, exact=True)).to_be_visible()
        expect(table.get_by_role("rowheader", name="untrained, seed 0: 1–32 px")).to_be_visible()
        for text in ("gpu-b:17", "NVIDIA H100", "done", "72,000 of 72,000"):
            expect(table.get_by_role("row", name="13, 15").get_by_text(text).locator("visible=true")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert table.evaluate("(node) => node.scrollWidth <= node.parentElement.clientWidth")
        narrowest = "(bars) => Math.min(...bars.map((bar) => bar.getBoundingClientRect().width))"
        assert table.get_by_role("progressbar").evaluate_all(narrowest) > 40
        assert page.evaluate(LOW_CONTRAST) == []


SCORES_SEEN = """() => [...document.querySelectorAll("#detail table")]
.filter((one) => one.offsetParent && one.querySelector("tbody th")).map((one) => {
  const row = one.querySelector("tbody tr:has(th)");
  const numbers = [...row.querySelectorAll("td.number")].filter((cell) => cell.offsetParent);
  const score = numbers.find((cell) => /^[+−]?\\d\\.\\d/.test(cell.innerText));
  const [name, number] = [row.querySelector("th"), score].map((cell) => cell?.getBoundingClientRect());
  return [name.left >= 0 && name.right <= number?.left + 1, number?.right <= innerWidth];
})"""


def test_the_narrowest_phone_shows_a_score_beside_the_name_in_every_table(browser, service, addresses):
    with opened(browser, service.url, viewport={"width": 360, "height": 800}) as page:
        for name in ("report", "comparison"):
            opened_whole(page, name, addresses[name])
            seen = page.evaluate(SCORES_SEEN)
            assert len(seen) >= {"report": 2, "comparison": 1}[name]
            assert seen == [[True, True]] * len(seen), name


def test_boxes_of_unequal_heights_leave_no_large_blank(browser, service, addresses):
    with opened(browser, service.url, viewport={"width": 1280, "height": 900}) as page:
        for name in ("report", "comparison"):
            opened_whole(page, name, addresses[name])
            drawn(page, "agreement")
            boxes = page.locator("div.columns > :visible").evaluate_all(
                "(all) => all.map((box) => box.getBoundingClientRect()).map((box) => [box.left, box.top, box.bottom])"
            )
            columns = {left for left, _, _ in boxes}
            bottoms = [max(bottom for left, _, bottom in boxes if left == column) for column in columns]
            assert len(bottoms) == 2
            tallest = max(bottom - top for _, top, bottom in boxes)
            assert max(bottoms) - min(bottoms) < tallest, name


def test_a_phone_shows_scores_and_tells_where_a_table_goes_on(browser, service, addresses):
    with opened(browser, service.url, viewport={"width": 375, "height": 850}) as page:
        opened_whole(page, "report", addresses["report"])
        blocks = page.locator("#detail table.blocks")
        cells = blocks.locator("tbody tr").first.locator("td.number:visible")
        expect(cells).to_have_count(4)
        for table in (page.locator("#detail table.scores").first, blocks):
            assert table.evaluate("(node) => node.getBoundingClientRect().right") <= 375
            expect(table.locator("xpath=..").locator(".cue")).to_be_hidden()
        expect(blocks.locator("tbody th").first).to_contain_text("Early · 32 × 80 × 80")  # what has no column here
        opened_whole(page, "comparison", addresses["comparison"])
        box = page.get_by_role("group", name="Scores of all audits")
        expect(box.locator(".cue")).to_have_text("Scroll sideways to see all columns →")
        expect(box.locator(".cue")).to_be_visible()
        first, last = box.locator("tbody tr").first.locator("td.heat").first, box.locator("tbody td.heat").last
        assert first.evaluate("(node) => node.getBoundingClientRect().right") < 350
        name = box.locator("tbody th").first
        left = name.evaluate("(node) => node.getBoundingClientRect().left")
        last.scroll_into_view_if_needed()
        assert box.evaluate("(node) => node.scrollLeft") > 100
        assert name.evaluate("(node) => node.getBoundingClientRect().left") == pytest.approx(left, abs=1)
        page.set_viewport_size({"width": 1360, "height": 850})
        expect(box.locator(".cue")).to_be_hidden()


def test_what_a_screen_reader_is_told(page, addresses):
    for name, address in addresses.items():
        opened_whole(page, name, address)
        expect(page.get_by_role("main")).to_have_count(1)
        expect(page.get_by_role("banner")).to_have_count(1)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        unnamed = "[...document.querySelectorAll('input, select')].filter((e) => !e.labels.length && !e.ariaLabel)"
        assert page.evaluate(f"{unnamed}.length") == 0, name
        assert (
            page.evaluate("[...document.querySelectorAll('table')].filter((e) => !e.caption?.textContent).length") == 0
        )
    page.goto(addresses["report"])
    table = page.get_by_role("table", name="Equivariance by depth")
    expect(table).to_be_visible()
    for name in ("Part", "Blocks", "Translation", "Rotation"):
        expect(table.get_by_role("columnheader", name=name, exact=True)).to_be_visible()
    for name in ("Early", "Middle", "Late", "Pool", "Final"):
        expect(table.get_by_role("rowheader", name=name)).to_be_visible()
    expect(
        page.get_by_role("img", name="By shift: translation equivariance of each part under each shift")
    ).to_be_visible()


@pytest.mark.usefixtures("addresses")  # there is something to list
def test_all_can_be_reached_by_keyboard(page):
    """Tab goes through the whole list and shows where it is; no trap, nothing that only a mouse can do."""
    opened_whole(page, "list", "/")
    expect(page.get_by_label("Data set")).to_contain_text("synthetic")
    wanted = page.evaluate(
        "[...document.querySelectorAll('a[href], button, input, select, summary')]"
        ".filter((e) => e.checkVisibility() && !e.disabled).length"
    )
    reached = set()
    for _ in range(wanted):
        page.keyboard.press("Tab")
        html, outline = page.evaluate(
            "(() => { const e = document.activeElement, ring = e.closest('.chip') ?? e;"
            " return [e.outerHTML + e.getBoundingClientRect().y + scrollY, getComputedStyle(ring).outlineStyle]; })()"
        )
        assert outline != "none", html
        reached.add(html)
    assert len(reached) == wanted


def test_on_paper_there_are_the_numbers_and_no_buttons(page, addresses):
    opened_whole(page, "report", addresses["report"])
    page.emulate_media(media="print")
    expect(page.locator("#detail table.blocks")).to_be_visible()
    expect(page.get_by_role("button", name="CSV")).to_be_hidden()
    expect(page.locator(".crumbs")).to_be_hidden()
    assert page.locator("div:has(> table.blocks)").evaluate("(node) => getComputedStyle(node).overflowY") == "visible"


def test_the_api_describes_itself_from_our_own_files(page, client):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    messages = []
    page.on("console", lambda message: messages.append(message.text) if message.type == "error" else None)
    page.goto("/docs")
    expect(page.locator("#api")).to_contain_text("Ask for an audit")
    page.get_by_text("Ask for many audits").click()
    expect(page.locator("#api")).to_contain_text("Try it out")
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {urlsplit(client.base_url).netloc}
    assert messages == []
