"""The dashboard with keys of each role: labels, notes, archive and delete, and what a key may not do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from zooaudit import AuditClient
from zooaudit.contract import AuditRequest, report_key

from service.stack import Stack, running
from tests.e2e.browser import opened, rows
from tests.fakes import ASK, report_of

REPORTS = [report_of(AuditRequest(**ASK, repetition=number)) for number in range(3)]
FIRST, SECOND, THIRD = (report.id for report in REPORTS)


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("kept")
    for report in REPORTS:
        path = folder / "store" / report_key(report.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.model_dump_json())
    env = {"ZOOAUDIT_API_KEYS": "reader:read:eyes,writer:submit:hands,keeper:admin:house"}
    with running(folder, workers=0, env=env) as stack:
        yield stack


def test_an_admin_labels_archives_and_deletes(browser, kept):
    with opened(browser, kept.url, key="house") as page:
        page.goto(f"/?audit={FIRST}")
        expect(page.locator("#who")).to_have_text("keeper (admin)")
        page.get_by_text("Edit labels and note").click()
        page.get_by_label("Labels").fill("paper, <b>")
        page.get_by_label("Note").fill("first line\nsecond line")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".annotate .notice.bad")).to_be_visible()
        page.get_by_label("Labels").fill("paper keep")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".written")).to_have_text("first line\nsecond line", use_inner_text=True)
        page.get_by_role("link", name="paper").click()
        expect(rows(page)).to_have_count(1)
        expect(page.get_by_label("Label", exact=True)).to_have_value("paper")
        expect(rows(page).get_by_role("link", name="keep")).to_be_visible()
        page.get_by_role("link", name="Clear filters").click()
        expect(rows(page)).to_have_count(3)

        page.goto(f"/?audit={SECOND}")
        page.get_by_role("button", name="Archive").click()
        expect(page.get_by_role("button", name="List again")).to_be_visible()
        page.goto("/")
        expect(rows(page)).to_have_count(2)
        page.get_by_label("Archived audits").select_option("archived")
        expect(rows(page)).to_have_count(1)
        expect(rows(page)).to_contain_text("archived")

        page.goto(f"/?audit={SECOND}")
        page.once("dialog", lambda dialog: dialog.dismiss())
        page.get_by_role("button", name="Delete…").click()
        expect(page.get_by_role("button", name="List again")).to_be_visible()
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Delete…").click()
        expect(page.locator("#audits-page")).to_be_visible()
        page.goto(f"/?audit={SECOND}")
        expect(page.locator("#detail")).to_contain_text("There is no audit with this id.")


def test_a_key_that_may_only_read_is_offered_nothing_else(browser, kept):
    with AuditClient(kept.url, api_key="hands") as client:
        client.annotate(THIRD, labels=["shown"])
    with opened(browser, kept.url, key="eyes") as page:
        page.goto("/")
        expect(page.locator("#who")).to_have_text("reader (read)")
        expect(page.locator("#read-only")).to_contain_text("may only read")
        expect(page.locator("form#submit")).to_have_attribute("inert", "")
        page.goto(f"/?audit={THIRD}")
        expect(page.get_by_role("link", name="shown")).to_be_visible()
        for text in ("Edit labels and note", "Archive", "Delete…"):
            expect(page.get_by_text(text, exact=True)).to_be_hidden()


def test_a_key_that_may_submit_writes_but_does_not_delete(browser, kept):
    with opened(browser, kept.url, key="hands") as page:
        page.goto(f"/?audit={THIRD}")
        expect(page.locator("#who")).to_have_text("writer (submit)")
        expect(page.get_by_text("Edit labels and note")).to_be_visible()
        for text in ("Archive", "Delete…"):
            expect(page.get_by_text(text, exact=True)).to_be_hidden()
        page.goto("/")
        expect(page.locator("#read-only")).to_be_hidden()


def test_a_refusal_is_told_in_words(browser, kept):
    with opened(browser, kept.url, key="eyes") as page:
        page.route("**/key", lambda route: route.fulfill(status=404, body="{}"))  # so it does not know the role
        page.goto(f"/?audit={THIRD}")
        page.get_by_role("button", name="Archive").click()
        expect(page.locator("#offline")).to_contain_text(
            "This needs a key of the role submit; the role of reader is read."
        )
        expect(page.locator("#who")).to_be_hidden()
