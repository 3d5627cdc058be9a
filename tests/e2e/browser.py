"""Open pages of the real service in a real browser. A page on which something goes wrong in silence fails its test."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from zooaudit import Audit, AuditClient
from zooaudit.contract import Sharing

KEY = "dashboard-key"
QUICK = "timm/test_resnet.r160_in1k"
LIMIT_MS = 90_000
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
MODEL_ENTRY = {
    "name": "timm/odd",
    "full_name": "timm/odd",
    "source": "timm",
    "family": "odd",
    "architecture": "odd",
    "tags": [],
    "pretrained": False,
    "input_size": 64,
    "supported": True,
}


def spread(value: float, interval: tuple[float, float]) -> str:
    """What stands beside a value for its interval: half its width, or its ends where it is not symmetric."""
    low, high = (f"{end:.3f}".replace("-", "−") for end in interval)
    return f"±{(interval[1] - interval[0]) / 2:.3f}" if abs(sum(interval) - 2 * value) < 0.001 else f"[{low}, {high}]"


def bare(cell: str) -> str:
    """The value in a cell, without what stands beside it for its interval."""
    return re.split(r"[±\[]", cell)[0].strip()


@contextmanager
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        # Debian's Chromium if it is installed, else the one that playwright installs.
        executable = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, key: str | None = KEY, **options) -> Iterator[Page]:
    """A page that sends ``key``. The test fails if a script fails, or if the content policy forbids something."""
    context = browser.new_context(base_url=url, **options)
    context.set_default_timeout(LIMIT_MS)
    if key:
        context.add_init_script(f"sessionStorage.setItem('zooaudit-api-key', '{key}')")
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    # The browser logs on the console what the content policy forbids. Failed requests, which it logs too, are left out.
    page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    yield page
    context.close()
    assert faults == []


def rows(page: Page) -> Locator:
    return page.locator("#audits tr")


def row(page: Page, text: str) -> Locator:
    return rows(page).filter(has_text=text)


def body(page: Page, index: int = 0) -> list[list[str]]:
    """The text of all cells of a table of scores, row by row."""
    return [
        cells.split("\t") for cells in page.locator("#detail table").nth(index).locator("tbody tr").all_inner_texts()
    ]


def poll_now(page: Page) -> None:
    """Make the page poll at once, as it does when its tab becomes visible again."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def drawn(page: Page, figure: str) -> list[float]:
    """The y values of all traces of a figure, once it is drawn."""
    plot = page.locator(f"#detail [data-figure={figure}] .plot")
    expect(plot.locator(".main-svg").first).to_be_visible()
    return plot.evaluate("(node) => node.data.flatMap((trace) => trace.y ?? [])")


def finished(client: AuditClient, model: str = QUICK, **changes) -> Audit:
    """Submit a quick audit and wait until it has succeeded. The same arguments give the same audit."""
    request = {"weights": "untrained", "dataset": "synthetic", "num_images": 4, "translations_px": (1, 2)} | changes
    return client.wait(client.submit(model, **request).id, LIMIT_MS / 1000, poll_s=0.1)


def measuring(page: Page, audit: Audit, sharing: Sharing) -> dict[str, Any]:
    """Make the page see ``audit`` as one that is measured and shared out. Returns what it sees, to change it."""
    seen = json.loads(audit.model_dump_json()) | {"status": "running", "finished_at": None}
    seen |= {"progress": {"phase": "measuring", "done": 64, "total": 400, "unit": "forward images", "eta_s": 61.0}}
    seen |= {"sharing": json.loads(sharing.model_dump_json())}
    page.route(f"**/audit/{audit.id}", lambda route: route.fulfill(json=seen))
    return seen
