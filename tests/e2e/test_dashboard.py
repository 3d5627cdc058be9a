"""The dashboard in a real browser, before the real service: submit, watch, read, cancel, offline and back."""

import json
import re
import shutil
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from zooaudit import Audit, AuditClient

from service import stack
from service.processes import stop

KEY = "dashboard-key"
QUICK = "timm/test_resnet.r160_in1k"
LONG = "timm/resnet18.a1_in1k"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
LIMIT_MS = 90_000
MARKUP = '<img src=x onerror="window.hacked = true"><b>bold</b>'


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[stack.Stack]:
    env = {"ZOOAUDIT_API_KEYS": KEY, "OMP_NUM_THREADS": "1"}
    with stack.running(tmp_path_factory.mktemp("dashboard-stack"), env=env) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        # Debian's own where there is one, else the one that playwright installs.
        found = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser, service) -> Iterator[Page]:
    """A page with the key, of which nothing may go wrong in silence."""
    yield from new_page(browser, service.url)


@pytest.fixture
def client(service) -> Iterator[AuditClient]:
    with AuditClient(service.url, api_key=KEY) as client:
        yield client
        for audit in client.audits():
            if not audit.status.final:
                client.cancel(audit.id)
                client.wait(audit.id, LIMIT_MS / 1000, poll_s=0.05)


def new_page(browser: Browser, url: str, key: str | None = KEY, **options) -> Iterator[Page]:
    context = browser.new_context(base_url=url, **options)
    context.set_default_timeout(LIMIT_MS)
    if key:
        context.add_init_script(f"sessionStorage.setItem('zooaudit-api-key', '{key}')")
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    # What a page may not load or run is told on the console; a request that failed is not: that is tested below.
    page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    yield page
    context.close()
    assert faults == []


def row(page: Page, text: str):
    return page.locator("#audits tr").filter(has_text=text)


def submit(page: Page, model: str, **fields: str) -> None:
    page.get_by_label("Model", exact=False).first.fill(model)
    page.get_by_label("Weights").select_option("untrained")
    page.get_by_label("Data set").select_option("synthetic")
    if fields:
        page.get_by_text("Method", exact=True).click()
    page.get_by_label("Images").fill(fields.pop("images", "4"))
    for label, value in fields.items():
        page.get_by_label(label.replace("_", " ")).fill(value)
    page.get_by_role("button", name="Audit", exact=True).click()


def finished(client: AuditClient) -> Audit:
    """An audit that has succeeded, the same every time."""
    audit = client.submit(QUICK, weights="untrained", dataset="synthetic", num_images=4, translations_px=(1,))
    return client.wait(audit.id, LIMIT_MS / 1000, poll_s=0.1)


def test_submit_watch_and_read_the_report(page, client):
    page.goto("/")
    expect(page.locator("#health")).to_contain_text("1 worker")
    submit(page, "timm/test_resnet", Shifts="1-2")
    heading = page.locator("#report h2")
    expect(heading).to_have_text(QUICK)
    expect(row(page, QUICK).locator(".badge")).to_have_text("untrained")
    identifier = re.fullmatch(r".*\?audit=([0-9a-f]{32})", page.url)[1]
    table = page.locator("table.parts")
    expect(table.locator("tbody tr")).to_have_count(5, timeout=LIMIT_MS)
    expect(row(page, QUICK).locator(".pill")).to_have_text("succeeded")

    report = client.report(identifier)
    assert report.method.translations_px == (1, 2)
    shown = [cells.split() for cells in table.locator("tbody tr").all_inner_texts()]
    for (name, part), cells in zip(report.parts.items(), shown, strict=True):
        kinds = (part.translation, part.rotation)
        scores = [f"{value:.3f}" for kind in kinds for value in (kind.channel, kind.layer)]
        assert cells == [name, str(part.blocks), *scores]
    expect(page.locator("#report .notice.warn")).to_contain_text("Untrained weights.")
    expect(page.locator("#report .chart svg .bars .point")).to_have_count(20)
    provenance = page.locator("#report dl")
    for text in (report.model.weights.origin, report.model.weights.sha256, report.environment.torch, "shifts 1, 2 px"):
        expect(provenance).to_contain_text(text)
    link = page.get_by_role("link", name="Download the report as JSON")
    assert httpx.get(f"{client.base_url}{link.get_attribute('href')}").json()["id"] == identifier

    page.reload()  # the URL keeps the selection
    expect(table.locator("tbody tr")).to_have_count(5)
    page.locator("#home").click()
    expect(heading).to_have_text("Report")
    page.go_back()
    expect(heading).to_have_text(QUICK)


def test_cancel(page, client):
    audit = client.submit(LONG, weights="untrained", dataset="synthetic", num_images=5000)
    page.goto(f"/?audit={audit.id}")
    running = row(page, "5,000 images")
    expect(running.locator(".pill")).to_have_text("running", timeout=LIMIT_MS)
    expect(running.locator(".sub").last).to_contain_text("measuring", timeout=LIMIT_MS)
    expect(running.get_by_role("progressbar")).to_be_visible()
    expect(page.locator("#report progress")).to_be_visible()
    running.get_by_role("button", name=f"Cancel the audit of {LONG}").click()
    expect(running.locator(".pill")).to_have_text("canceled", timeout=LIMIT_MS)
    expect(running.get_by_role("button")).to_be_hidden()
    expect(page.locator("#report")).to_contain_text("This audit was canceled.")
    expect(page.get_by_role("status")).to_have_text(f"{LONG}: canceled")
    assert client.status(audit.id).status == "canceled"


def test_a_failed_audit_tells_why(page, client):
    audit = client.submit(QUICK, weights="checkpoint:there-is-none", dataset="synthetic", num_images=4)
    audit = client.wait(audit.id, LIMIT_MS / 1000, poll_s=0.1)
    assert audit.status == "failed"
    page.goto(f"/?audit={audit.id}")
    expect(page.locator("#report .notice")).to_contain_text(audit.error.title)
    expect(page.locator("#report .notice")).to_contain_text(audit.error.detail)


def test_mistakes_are_told_with_a_way_out(page):
    page.goto("/")
    expect(page.get_by_label("Data set")).to_contain_text("synthetic")
    told = page.locator("#submit-error")
    page.get_by_role("button", name="Audit", exact=True).click()
    expect(told).to_contain_text("say which model")
    submit(page, "timm/test_resnot")
    expect(told).to_contain_text("timm/test_resnot")
    told.get_by_role("button", name="timm/test_resnet", exact=True).click()
    expect(page.locator("[name=model]")).to_have_value("timm/test_resnet")
    expect(told).to_be_hidden()
    submit(page, QUICK, Shifts="500")
    expect(told).to_contain_text("translations_px")
    expect(page.locator("[name=translations_px]")).to_have_attribute("aria-invalid", "true")


def test_models_are_found_by_typing(page):
    page.goto("/")
    page.locator("[name=model]").press_sequentially("TEST_RESNET")
    option = page.locator("#model-names option[value='timm/test_resnet.r160_in1k']")
    expect(option).to_be_attached()
    expect(page.locator("#model-names option[value*=vit]")).to_have_count(0)


def test_an_unknown_audit(page):
    page.goto(f"/?audit={'0' * 32}")
    expect(page.locator("#report")).to_contain_text("There is no audit with this id.")


def test_a_key_is_asked_for_where_one_is_needed(browser, service, client):
    for page in new_page(browser, service.url, key=None):
        page.goto("/")
        expect(page.get_by_label("Data set")).to_contain_text("synthetic")
        expect(page.get_by_label("API key")).to_be_hidden()
        submit(page, QUICK, Seed="7")
        expect(page.locator("#submit-error")).to_contain_text("This needs an API key")
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Audit", exact=True).click()
        expect(page.locator("#report h2")).to_have_text(QUICK)
    assert any(audit.request.seed == 7 for audit in client.audits())


def test_offline_and_back(page, service):
    page.goto("/")
    expect(page.locator("#audits-note")).not_to_have_text("Loading…")
    stop(service.api, wait_s=10)
    expect(page.locator("#offline")).to_contain_text("The service does not answer. Trying again in")
    expect(page.locator("#offline")).to_have_attribute("role", "alert")
    service.start_api()
    service.wait()
    expect(page.locator("#offline")).to_be_hidden(timeout=LIMIT_MS)


def test_names_full_of_markup_are_shown_as_text(page, client):
    audit = finished(client)
    body = json.loads(audit.model_dump_json())
    body["request"] |= {"model": MARKUP, "weights": MARKUP, "dataset": MARKUP}
    failed = {**body, "id": "f" * 32, "status": "failed"}
    failed["error"] = {"type": "x", "title": MARKUP, "status": 500, "detail": MARKUP, "suggestions": [MARKUP]}
    report = json.loads(client.report(audit.id).model_dump_json())
    report["model"] |= {"name": MARKUP, "architecture": MARKUP}
    report["model"]["weights"] |= {"origin": MARKUP, "sha256": MARKUP}
    report["parts"]["Final"]["rotation"] |= {"channel": None, "layer": None, "reason": MARKUP}
    page.route("**/audit?*", lambda route: route.fulfill(json={"audits": [body, failed], "next_cursor": None}))
    page.route("**/audit/*/report", lambda route: route.fulfill(json=report))
    page.goto(f"/?audit={audit.id}")
    expect(page.locator("#audits .model").first).to_have_text(MARKUP)
    expect(page.locator("#report h2")).to_have_text(MARKUP)
    expect(page.locator("#report .chart svg .bars .point").first).to_be_attached()
    page.locator("#audits .model").nth(1).click()
    expect(page.locator("#report .notice")).to_contain_text(MARKUP)
    assert page.locator("main img, main b").count() == 0
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize(
    ("width", "scheme"), [(320, "light"), (390, "dark"), (768, "light"), (1360, "light"), (1360, "dark")]
)
def test_it_fits_every_width_and_scheme(browser, service, client, tmp_path, width, scheme):
    audit = finished(client)
    for page in new_page(browser, service.url, color_scheme=scheme, viewport={"width": width, "height": 850}):
        page.goto(f"/?audit={audit.id}")
        expect(page.locator("#report .chart svg .bars .point")).to_have_count(20)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        cut = "[...document.querySelectorAll('main, section')].filter((e) => e.scrollWidth > e.clientWidth)"
        assert page.evaluate(f"{cut}.length") == 0
        back = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        brightness = sum(map(int, re.findall(r"\d+", back)[:3])) / 3
        assert (brightness < 60) == (scheme == "dark")
        page.screenshot(path=tmp_path / f"dashboard-{width}-{scheme}.png", full_page=True)


def test_what_a_screen_reader_is_told(page, client):
    audit = finished(client)
    page.goto(f"/?audit={audit.id}")
    expect(page.get_by_role("table", name="Equivariance by depth")).to_be_visible()
    for name in ("Part", "Blocks", "Translation", "Rotation"):
        expect(page.get_by_role("columnheader", name=name, exact=True)).to_be_visible()
    for name in ("Early", "Middle", "Late", "Pool", "Final"):
        expect(page.get_by_role("rowheader", name=name)).to_be_visible()
    expect(page.get_by_role("region", name=QUICK)).to_be_visible()
    expect(page.locator("#audits a[aria-current=true]")).to_have_text(QUICK)
    page.locator("#home").click()
    page.locator("#audits .model").filter(has_text=QUICK).last.press("Enter")
    expect(page.locator("#report h2")).to_have_text(QUICK)
    expect(page.get_by_role("region", name=QUICK).locator("h2")).to_be_focused()
    unlabelled = page.evaluate("[...document.querySelectorAll('input, select')].filter((e) => !e.labels.length).length")
    assert unlabelled == 0


def test_what_has_not_changed_is_not_sent_again(page, client):
    body = json.loads(finished(client).model_dump_json())
    tags: list[str | None] = []

    def serve(route: Route) -> None:
        tags.append(route.request.headers.get("if-none-match"))
        if tags[-1] == '"1"':
            route.fulfill(status=304)
        else:
            route.fulfill(json={"audits": [body], "next_cursor": None}, headers={"ETag": '"1"'})

    page.route("**/audit?*", serve)
    page.goto("/")
    expect(row(page, QUICK)).to_have_count(1)
    with page.expect_response(lambda response: response.status == 304):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # polls at once
    page.locator("#audits .model").click()
    expect(page.locator("table.parts")).to_be_visible()
    assert tags[:2] == [None, '"1"']


def test_it_polls_politely(browser, service):
    """Once in 5 s while nothing runs, in 30 s while hidden, ever slower while the service fails."""
    for page in new_page(browser, service.url):
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.clock.install()
        page.goto("/")
        expect(page.locator("#audits-note")).not_to_have_text("Loading…")
        assert lists_in_a_minute(page, asked) in range(10, 14)
        page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        assert lists_in_a_minute(page, asked) <= 3
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        page.route("**/audit?*", lambda route: route.abort())
        assert lists_in_a_minute(page, asked) in range(4, 8)


def lists_in_a_minute(page: Page, asked: list[str]) -> int:
    asked.clear()
    for _ in range(60):
        page.clock.run_for(1000)
        page.evaluate("new Promise((resolve) => fetch('/health').finally(resolve))")  # answers arrive in real time
    return sum("/audit?" in url for url in asked)
