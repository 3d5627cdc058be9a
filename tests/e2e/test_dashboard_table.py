"""The dashboard's table of many audits: sorting, filters, pages and ticks, all in the address."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from service.processes import stop
from service.stack import Stack, running
from tests.e2e.browser import opened, poll_now, rows
from tests.e2e.harness import FAKE_WORKER, eventually

WAYS = ("quick", "fails", "mute")


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Iterator[Stack]:
    """130 audits: 60 that succeeded, 10 that failed, 5 canceled and 55 that wait for a worker which is gone."""
    directory = tmp_path_factory.mktemp("many")
    (directory / "runs").mkdir()
    env = {"FAKE_RUNS": str(directory / "runs"), "ZOOAUDIT_API_KEYS": ""}
    with (
        running(directory, env=env, worker_command=FAKE_WORKER) as stack,
        httpx.Client(base_url=stack.url, timeout=30) as http,
    ):

        def submit(model: str, seed: int) -> str:
            asked = {"model": f"timm/{model}", "weights": "untrained", "dataset": "synthetic", "seed": seed}
            return http.post("/audit", json=asked).json()["id"]

        def total(status: str) -> int:
            return http.get("/audit", params={"status": status, "limit": 1}).json()["total"]

        for seed in range(70):
            submit("fails" if seed % 7 == 0 else "quick", seed)
        eventually(lambda: total("succeeded,failed") == 70, within_s=60)
        stop(stack.workers.pop(), wait_s=10)
        waiting = [submit("mute", seed) for seed in range(60)]
        for identifier in waiting[:5]:
            http.delete(f"/audit/{identifier}")
        assert [total(status) for status in ("succeeded", "failed", "canceled", "queued")] == [60, 10, 5, 55]
        yield stack


@pytest.fixture
def table(browser, many) -> Iterator[Page]:
    with opened(browser, many.url, key=None) as page:
        page.goto("/")
        expect(rows(page)).to_have_count(50)
        yield page


def query(page: Page) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(page.url).query).items()}


def models(page: Page) -> list[str]:
    return [name.removeprefix("timm/").removesuffix(".v1") for name in page.locator("#audits .model").all_inner_texts()]


def test_pages_with_a_total_back_and_forth(table):
    expect(table.locator("#audits-total")).to_have_text("130 audits")
    expect(table.locator("#page-range")).to_have_text("1–50 of 130")
    expect(table.get_by_role("link", name="Previous")).to_be_disabled()
    first = table.locator("#audits .model").first.get_attribute("href")
    table.get_by_role("link", name="Next", exact=True).click()
    expect(table.locator("#page-range")).to_have_text("51–100 of 130")
    table.get_by_role("link", name="Last page").click()
    expect(rows(table)).to_have_count(30)
    assert query(table) == {"page": "3"}
    expect(table.get_by_role("link", name="Next", exact=True)).to_be_disabled()
    table.reload()
    expect(rows(table)).to_have_count(30)
    table.go_back()
    expect(table.locator("#page-range")).to_have_text("51–100 of 130")
    table.go_back()
    expect(table.locator("#audits .model").first).to_have_attribute("href", first)
    table.goto("/?page=99")  # of a list that has become shorter
    expect(table.locator("#page-range")).to_have_text("101–130 of 130")


def test_heads_sort(table):
    head = table.get_by_role("columnheader", name="Model")
    head.get_by_role("link").press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(head.get_by_role("link")).to_be_focused()
    expect(table.locator("#audits .model").first).to_have_text("timm/fails.v1")
    assert models(table) == ["fails"] * 10 + ["mute"] * 40
    head.get_by_role("link").press("Enter")
    expect(table.locator("#audits .model").first).to_have_text("timm/quick.v1")
    assert query(table) == {"sort": "-model"}
    table.get_by_role("columnheader", name="Created").get_by_role("link").click()
    expect(table.locator("#audits .model").first).to_have_text("timm/mute.v1")
    assert query(table) == {}
    table.go_back()
    expect(head).to_have_attribute("aria-sort", "descending")
    table.get_by_role("columnheader", name="Duration").get_by_role("link").click()
    expect(rows(table).last.locator("td").nth(4)).to_contain_text("s")  # the longest have one


def test_filters_narrow_and_count(table):
    chips = table.get_by_role("group", name="Status")
    chips.get_by_label("failed").check()
    expect(table.locator("#audits-total")).to_have_text("10 matches")
    expect(table.locator("#audits .progress")).to_have_text(["failedWeights cannot be fetched"] * 10)
    chips.get_by_label("canceled").check()
    expect(rows(table)).to_have_count(15)
    table.get_by_placeholder("Filter by model").press_sequentially("MUTE")
    expect(rows(table)).to_have_count(5)
    assert query(table) == {"status": "failed,canceled", "q": "MUTE"}
    table.reload()
    expect(rows(table)).to_have_count(5)
    expect(chips.get_by_label("canceled")).to_be_checked()
    expect(table.get_by_placeholder("Filter by model")).to_have_value("MUTE")
    chips.get_by_label("canceled").uncheck()
    expect(table.get_by_text("No audit matches these filters.")).to_be_visible()
    table.get_by_role("link", name="Clear filters").click()
    expect(table.locator("#audits-total")).to_have_text("130 audits")
    expect(chips.get_by_label("failed")).not_to_be_checked()


def test_ticks_survive_pages_polls_and_a_look_at_a_report(table):
    table.goto("/?status=succeeded")
    expect(rows(table)).to_have_count(50)
    compare = table.get_by_role("link", name=re.compile("^Compare \\("))
    expect(compare).to_be_disabled()
    box = rows(table).nth(3).get_by_role("checkbox")
    box.check()
    poll_now(table)
    expect(box).to_be_focused()
    expect(compare).to_have_text("Compare (1)")
    table.get_by_role("link", name="Next", exact=True).click()
    expect(rows(table)).to_have_count(10)
    rows(table).nth(5).get_by_role("checkbox").check()
    expect(compare).to_have_text("Compare (2)")
    expect(compare).to_be_enabled()
    rows(table).nth(0).locator("a.model").click()
    expect(table.locator("#detail table.blocks")).to_be_visible()
    table.get_by_role("link", name="Audits", exact=True).click()
    expect(rows(table).nth(5).get_by_role("checkbox")).to_be_checked()
    ticked = query(table)["ticked"]
    table.get_by_role("link", name="Previous").click()
    expect(box).to_be_checked()
    compare.click()
    assert query(table) == {"compare": ticked}
    expect(table.locator("#detail .notice.bad:visible")).to_contain_text(
        "Seed"
    )  # of another sample: they do not compare
    table.go_back()
    table.get_by_role("link", name="Untick all").click()
    expect(compare).to_have_text("Compare (0)")
    table.get_by_role("checkbox", name="Compare all on this page").check()
    expect(compare).to_have_text("Compare (50)")


def test_only_what_has_succeeded_can_be_ticked(table):
    table.goto("/?status=queued,failed")
    expect(rows(table)).to_have_count(50)
    assert table.locator("#audits input:enabled").count() == 0
