"""The dashboard of a service whose keys guard reads, too."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from service.stack import Stack, running
from tests.e2e.browser import KEY, opened


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
