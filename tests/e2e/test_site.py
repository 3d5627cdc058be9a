"""A published site and a page of one report, opened from a folder by a browser that has no network."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from zooaudit.contract import AuditRequest, Report, sealed
from zooaudit.site import report_page

from tests.client.samples import WHEN
from tests.client.site.test_publishing import Store
from tests.fakes import report_of

MODELS = ("resnet18", "resnet50", "vit_tiny")
EVIL = "<img src=x onerror=alert(1)>"


@contextmanager
def opened_file(browser: Browser, path: Path, **options) -> Iterator[Page]:
    """A page from a folder. The test fails if it asks for anything beyond the folder, or if a script fails."""
    context = browser.new_context(offline=True, **options)
    page, faults = context.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
    page.on("dialog", lambda dialog: faults.append(dialog.message))
    page.on("request", lambda request: request.url.startswith(("file:", "blob:")) or faults.append(request.url))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert faults == []


def measured(place: int, name: str) -> Report:
    report = report_of(AuditRequest(model=f"timm/{name}.a1_in1k", dataset="synthetic", num_images=8), started_at=WHEN)
    scores = report.parts["Late"].rotation.model_copy(
        update={"channel": (place + 1) / 10, "channel_interval": (place / 10, place / 10 + 0.2)}
    )
    late = report.parts["Late"].model_copy(update={"rotation": scores})
    family = "vit" if name.startswith("vit") else EVIL
    model = report.model.model_copy(update={"family": family, "parameters": 10**6 * (5 - place)})
    return sealed(report.model_copy(update={"parts": report.parts | {"Late": late}, "model": model}))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    Store(*(measured(place, name) for place, name in enumerate(MODELS))).publish(folder)
    return folder


def names(page: Page) -> list[str]:
    return [name.split("/")[1].split(".")[0] for name in page.locator("#leaderboard tbody a").all_inner_texts()]


def test_the_leaderboard_sorts_filters_and_leads_to_the_reports(browser, site):
    with opened_file(browser, site / "index.html") as page:
        expect(page.locator("#count")).to_have_text("3 of 3 models")
        page.select_option("#transform", "1")
        page.get_by_role("button", name="Late").click()
        assert names(page) == ["vit_tiny", "resnet50", "resnet18"]
        assert page.locator("#leaderboard tbody tr").first.inner_text().split("\t")[3] == "0.300 ±0.100"
        page.get_by_role("button", name="Late").click()
        assert names(page) == ["resnet18", "resnet50", "vit_tiny"]
        page.get_by_role("button", name="Parameters").click()
        assert names(page) == ["resnet18", "resnet50", "vit_tiny"]
        page.fill("#search", "RESNET")
        assert names(page) == ["resnet18", "resnet50"]
        page.select_option("#family", "vit")
        assert names(page) == []
        page.fill("#search", "")
        assert names(page) == ["vit_tiny"]
        page.reload()  # what is chosen stands in the address
        assert names(page) == ["vit_tiny"]
        expect(page.locator("#transform")).to_have_value("1")
        page.get_by_role("link", name="timm/vit_tiny.a1_in1k").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("timm/vit_tiny.a1_in1k")
        for figure in ("parts", "shifts", "agreement", "depth"):
            expect(page.locator(f"#figure-{figure} .main-svg").first).to_be_visible()
        assert page.locator("#figure-parts").evaluate("(plot) => plot.data.flatMap((trace) => trace.y)").count(0.3) > 0
        report = site / "reports" / page.get_by_role("link", name="The report as JSON").get_attribute("href")
        assert Report.model_validate_json(report.read_text()).model.name == "timm/vit_tiny.a1_in1k"
        page.get_by_role("navigation").get_by_role("link").click()
        expect(page.locator("#count")).to_have_text("3 of 3 models")


def test_below_a_sub_path_nothing_else_of_the_host_is_asked_for(browser, site):
    """Not even the icon that a browser looks for at the root of a host where a page names none."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    folder = partial(Handler, directory=str(site.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/{site.name}/")
        expect(page.locator("#count")).to_have_text("3 of 3 models")
        page.locator("#leaderboard tbody a").first.click()
        expect(page.locator("#figure-parts .main-svg").first).to_be_visible()
        page.close()
        server.shutdown()
    assert asked
    assert [path for path in asked if not path.startswith(f"/{site.name}/")] == []


def test_the_parameters_of_a_small_network_are_not_rounded_away(browser, tmp_path):
    report = measured(0, "tiny")
    model = report.model.model_copy(update={"parameters": 5319})
    Store(sealed(report.model_copy(update={"model": model}))).publish(tmp_path)
    with opened_file(browser, tmp_path / "index.html") as page:
        expect(page.locator("#leaderboard tbody td:nth-child(8)")).to_have_text("5,319")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(browser, site, scheme):
    for path in (site / "index.html", next((site / "reports").glob("*.html"))):
        phone = {"viewport": {"width": 375, "height": 700}, "color_scheme": scheme}
        with opened_file(browser, path, **phone) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_one_page_of_a_report_needs_no_other_file(browser, tmp_path):
    report = measured(0, "resnet18")
    model = report.model.model_copy(update={"name": f"timm/{EVIL}"})
    report = sealed(report.model_copy(update={"model": model}))
    path = tmp_path / "report.html"
    path.write_text(report_page.self_contained(report), encoding="utf-8")
    with opened_file(browser, path) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text(f"timm/{EVIL}")
        expect(page.locator(".plot .main-svg").first).to_be_visible()
        assert page.locator("img").count() == 0
        with page.expect_download() as download:
            page.get_by_role("link", name="The report as JSON").click()
        assert download.value.suggested_filename == f"{report.id}.json"
        assert Report.model_validate(json.loads(Path(download.value.path()).read_text())) == report
