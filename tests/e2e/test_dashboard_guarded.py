"""The dashboard of a service whose keys guard reads, too."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from zooaudit.contract import AuditRequest, report_key

from service.stack import Stack, running
from tests.e2e.browser import KEY, opened
from tests.fakes import ASK, report_of


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Iterator[Stack]:
    env = {"ZOOAUDIT_API_KEYS": KEY, "ZOOAUDIT_KEYS_GUARD_READS": "1"}
    with running(tmp_path_factory.mktemp("guarded-stack"), workers=0, env=env) as stack:
        yield stack


def test_a_key_opens_the_lists_and_whoever_has_none_is_asked_once(browser, guarded):
    with opened(browser, guarded.url, key=None) as page:
        refusals = []
        page.on("response", lambda answer: answer.status == 401 and refusals.append(answer.url))
        page.goto("/")
        dialog = page.get_by_role("dialog", name="API key")
        expect(dialog).to_contain_text("This needs an API key")
        expect(page.locator("#health")).to_contain_text("worker")
        dialog.get_by_role("button", name="Not now").click()
        expect(page.locator("#offline")).to_contain_text("This needs an API key")
        asked = len(refusals)
        while len(refusals) < asked + 2:  # the page goes on trying, but does not ask again
            page.wait_for_event("response", lambda answer: answer.status == 401)
        expect(dialog).to_be_hidden()
        page.reload()
        dialog.get_by_label("API key").fill("wrong")
        dialog.get_by_label("API key").press("Enter")
        expect(dialog).to_contain_text("This needs an API key")
        dialog.get_by_label("API key").fill(KEY)
        dialog.get_by_role("button", name="Use this key").click()
        expect(dialog).to_be_hidden()
        expect(page.locator("#offline")).to_be_hidden()
        expect(page.locator("#audits-page")).to_contain_text("No audits")


def test_a_report_is_shown_and_saved_with_the_key(browser, guarded, tmp_path):
    report = report_of(AuditRequest(**ASK))
    stored = guarded.directory / "store" / report_key(report.id)
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_text(report.model_dump_json(indent=1))
    with opened(browser, guarded.url) as page:
        page.goto(f"/?audit={report.id}")
        with page.expect_download() as download:
            page.get_by_role("link", name="JSON").click()
        download.value.save_as(tmp_path / "saved.json")
        assert download.value.suggested_filename == f"{report.id}.json"
        assert (tmp_path / "saved.json").read_bytes() == stored.read_bytes()
        with page.expect_download() as download:
            page.get_by_role("button", name="CSV").first.click()
        assert download.value.suggested_filename.endswith(".csv")
