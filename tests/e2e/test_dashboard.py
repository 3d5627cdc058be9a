"""The dashboard's audits, one by one: submit, watch, cancel, fail, mistakes, a key, offline and back."""

import itertools
import json
import re

import pytest
import timm
import torch
from playwright.sync_api import Page, Route, expect

from service.processes import stop
from tests.client.samples import shard, sharing
from tests.e2e.browser import KEY, LIMIT_MS, MODEL_ENTRY, QUICK, finished, measuring, opened, poll_now, row, rows

LONG = "timm/resnet18.a1_in1k"
MARKUP = '<img src=x onerror="window.hacked = true"><b>bold</b>'
ALONE = {"workers": 1, "waiting": 0, "repeated": 0}
LONG_NAME = "a-machine-with-a-long-name.cluster.example.org:4711"


def submit(page: Page, model: str, **fields: str) -> None:
    page.get_by_role("combobox", name="Model").fill(model)
    page.get_by_label("Weights").select_option("untrained")
    page.get_by_label("Data set").select_option("synthetic")
    page.get_by_label("Images").fill(fields.pop("images", "4"))
    if fields:
        page.locator("details").evaluate("(node) => node.open = true")
    for label, value in fields.items():
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Audit", exact=True).click()


def test_submit_and_watch_until_the_report(page, client):
    page.goto("/")
    expect(page.locator("#health")).to_contain_text("1 worker")
    submit(page, "timm/test_resnet", Shifts="1-2", Repetition="1")
    heading = page.locator("h1:visible")
    expect(heading).to_have_text(QUICK)
    expect(heading).to_be_focused()
    expect(page).to_have_title(f"{QUICK} · zooaudit")
    identifier = re.fullmatch(r".*/\?audit=([0-9a-f]{32})", page.url)[1]
    expect(page.locator("#detail table.scores").first.locator("tbody tr")).to_have_count(5)
    expect(page.get_by_role("status").first).to_have_text(f"{QUICK}: succeeded")
    audit = client.status(identifier)
    assert (audit.status, audit.request.translations_px, audit.request.repetition) == ("succeeded", (1, 2), 1)
    page.get_by_role("link", name="Audits", exact=True).click()
    expect(row(page, "repetition 1").locator(".pill")).to_have_text("succeeded")
    page.go_back()
    expect(heading).to_have_text(QUICK)


def test_cancel_from_the_list_and_run_again(page, client):
    audit = client.submit(LONG, weights="untrained", dataset="synthetic", num_images=5000)
    page.goto("/?q=resnet18")
    running = row(page, "5,000 images")
    expect(running.locator(".pill")).to_have_text("running")
    expect(running.locator(".progress")).to_contain_text("measuring")
    expect(running.get_by_role("progressbar")).to_be_visible()
    running.get_by_role("button", name=f"Cancel the audit of {LONG}").click()
    expect(running.locator(".pill")).to_have_text("canceled")
    expect(running.get_by_role("button")).to_be_hidden()
    expect(running.locator("a.model")).to_be_focused()
    expect(page.get_by_role("status").first).to_have_text(f"{LONG}: canceled")
    assert client.status(audit.id).status == "canceled"

    running.locator("a.model").press("Enter")
    detail = page.locator("#detail")
    expect(detail).to_contain_text("This audit was canceled.")
    detail.get_by_role("button", name="Run again").click()
    expect(detail.get_by_role("progressbar")).to_be_visible()
    expect(detail.locator(".progress")).to_contain_text("left")  # the time it will take
    detail.get_by_role("button", name="Cancel").click()
    expect(detail).to_contain_text("This audit was canceled.")


def test_a_queued_audit_tells_its_place_and_moves_up_with_a_higher_priority(page, client):
    settings = {"weights": "untrained", "dataset": "synthetic"}
    client.submit(LONG, num_images=5000, **settings)
    page.goto("/?q=resnet18")
    expect(row(page, "5,000 images").locator(".progress")).to_contain_text("left")
    client.submit(LONG, num_images=3001, priority="low", **settings)
    last = client.submit(LONG, num_images=3002, priority="low", **settings)
    expect(row(page, "3,001 images").locator(".progress")).to_contain_text(
        "next in the queue (low priority), starts in"
    )
    expect(row(page, "3,002 images").locator(".progress")).to_contain_text("2nd in the queue (low priority)")
    page.locator("summary", has_text="priority").click()
    page.get_by_label("Priority").select_option("high")
    submit(page, LONG, images="3002")
    heading = page.locator("h1:visible")
    expect(heading).to_have_text(LONG)
    assert page.url.endswith(last.id)
    waiting = page.locator("#detail .progress")
    expect(waiting).to_contain_text("next in the queue (high priority), starts in about")
    assert client.status(last.id).queue.position == 1
    page.get_by_role("link", name="Audits", exact=True).click()
    expect(row(page, "3,001 images").locator(".progress")).to_contain_text("2nd in the queue (low priority)")


def test_scores_so_far_are_shown_while_it_measures(page, client):
    one = json.loads(finished(client).model_dump_json())
    score = {"channel": 0.5, "channel_interval": [0.4, 0.62], "layer": 0.75, "layer_interval": [0.7, 0.8]}
    parts = {"Early": {"translation": score, "rotation": score}}
    images = itertools.chain((64,), itertools.repeat(128))

    def serve(route: Route) -> None:
        seen = {"images": (count := next(images)), "parts": parts}
        progress = {"phase": "measuring", "done": count, "total": 400, "unit": "forward images", "eta_s": 61.0}
        running = {**one, "status": "running", "finished_at": None, "progress": progress | {"provisional": seen}}
        route.fulfill(json=running)

    page.route(f"**/audit/{one['id']}", serve)
    page.goto(f"/?audit={one['id']}")
    table = page.locator("#detail table")
    expect(table).to_contain_text("So far, from 64 images")
    expect(table.locator("tbody tr")).to_have_text("Early0.500[0.400, 0.620]0.750±0.0500.500[0.400, 0.620]0.750±0.050")
    expect(page.locator("#detail .progress")).to_contain_text("measuring 64 of 400, 1 min 01 s left")
    expect(table).to_contain_text("So far, from 128 images")
    page.unroute(f"**/audit/{one['id']}")
    expect(page.locator("#detail table.blocks")).to_be_visible()  # it has ended


def test_who_measures_what_is_shown_while_several_workers_share_an_audit(page, client):
    audit = finished(client)
    seen = measuring(page, audit, sharing())
    page.goto(f"/?audit={audit.id}")
    table = page.get_by_role("table", name="3 workers take part; 9 transforms wait; 1,280 forward images were measured")
    expected = [
        ("1–12 px, 90°", "gpu-a:4242", "measuring", "640 of 72,000"),
        ("13, 15, 17, 19, 21, 23 px", "gpu-b:17", "done", "72,000 of 72,000"),
        ("14, 16, 18, 20, 22, 24 px", "gpu-b:17", "measuring", "0 of 72,000"),
        ("untrained, seed 0: 1–32 px", LONG_NAME, "measuring", "640 of 1,280"),
    ]
    for shown, (transforms, worker, state, amount) in zip(table.locator("tbody tr").all(), expected, strict=True):
        expect(shown.get_by_role("rowheader")).to_have_text(transforms, use_inner_text=True)
        expect(shown.get_by_role("cell")).to_have_text([worker, "NVIDIA H100", f"{state}{amount}"])
    bars = table.get_by_role("progressbar")
    assert bars.evaluate_all("(bars) => bars.map((bar) => [bar.value, bar.max])") == [
        *([640, 72_000], [72_000, 72_000], [0, 72_000], [640, 1280])
    ]
    expect(table.get_by_role("progressbar", name="Progress of 1–12 px, 90°")).to_have_count(1)

    # A poll changes what has changed and leaves the rest alone: the elements, the focus, what is selected.
    page.get_by_role("button", name="Cancel").focus()
    table.get_by_role("cell", name="gpu-a:4242").evaluate("(node) => getSelection().selectAllChildren(node)")
    table.evaluate("(table) => table.querySelectorAll('*').forEach((node) => (node.dataset.seen = ''))")
    page.evaluate(
        "(table) => { window.changed = []; new MutationObserver((records) => window.changed.push("
        "...records.filter((one) => one.type === 'childList').map((one) => one.target.textContent)))"
        ".observe(document.querySelector('.shards'), { childList: true, subtree: true }); }"
    )
    seen["sharing"]["shards"][0] |= {"done": 1280}
    seen["sharing"] |= {"workers": 2, "waiting": 1, "repeated": 0}
    poll_now(page)
    expect(table).to_be_hidden()  # it has another name now
    table = page.get_by_role("table", name="2 workers take part; 1 transform waits.", exact=True)
    expect(table.locator("tbody tr").first).to_contain_text("1,280 of 72,000")
    assert page.evaluate("window.changed") == ["2 workers take part; 1 transform waits.", "1,280 of 72,000"]
    assert table.locator("*:not([data-seen])").count() == 0
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    assert page.evaluate("getSelection().toString()") == "gpu-a:4242"

    del seen["sharing"]["shards"][1:3]  # a worker has died, and another begins
    seen["sharing"]["shards"].append({**seen["sharing"]["shards"][0], "transforms": ["1 px zero", "1 px circular"]})
    poll_now(page)
    expect(table.locator("tbody th span:first-child")).to_have_text(
        ["1–12 px, 90°", "untrained, seed 0: 1–32 px", "1 px zero, 1 px circular"]
    )
    del seen["sharing"]["shards"][1:]
    seen["sharing"] |= {"workers": 1, "waiting": 0}
    poll_now(page)
    expect(page.locator(".shards")).to_have_text("Measured by gpu-a:4242 on NVIDIA H100.", use_inner_text=True)
    seen["sharing"] |= {"shards": [], "workers": 0, "waiting": 35}
    poll_now(page)
    expect(page.locator(".shards p")).to_have_text("0 workers take part; 35 transforms wait.")
    expect(page.locator(".shards table")).to_have_count(0)
    del seen["sharing"]
    poll_now(page)
    expect(page.locator(".shards")).to_be_empty()
    expect(page.locator("#detail .progress")).to_contain_text("measuring 64 of 400")
    page.unroute(f"**/audit/{audit.id}")
    expect(page.locator("#detail table.blocks")).to_be_visible()  # it has ended
    expect(page.locator(".shards")).to_have_count(0)


def test_a_failed_audit_tells_why_and_runs_again_when_that_is_mended(page, client, service):
    file = service.directory / "checkpoints" / "mine.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    busy = client.submit(QUICK, weights="untrained", dataset="synthetic", num_images=50_000)
    audit = client.submit(QUICK, weights="checkpoint:mine", dataset="synthetic", num_images=4)
    torch.save(timm.create_model("test_resnet").state_dict(), file)  # others, before its turn comes
    client.cancel(busy.id)
    audit = client.wait(audit.id, LIMIT_MS / 1000, poll_s=0.1)
    assert audit.status == "failed"
    page.goto(f"/?audit={audit.id}")
    expect(page.locator("#detail .notice:visible")).to_contain_text(audit.error.title)
    expect(page.locator("#detail .notice:visible")).to_contain_text(audit.error.detail)
    page.get_by_role("button", name="Run again").click()
    expect(page.locator("#detail table.scores").first.locator("tbody tr")).to_have_count(5)
    expect(page.locator("#detail .badges")).to_contain_text("version ")
    assert audit.id not in page.url  # the file's content is part of what was asked


def test_mistakes_are_explained_with_a_way_out(page):
    page.goto("/")
    expect(page.get_by_label("Data set")).to_contain_text("synthetic")
    problem, mistake = page.locator("#submit-error"), page.locator(".mistake")
    page.get_by_role("button", name="Audit", exact=True).click()
    expect(problem).to_have_text("The audit was not started. Please look at: Model")
    expect(page.locator(".model-field .mistake")).to_have_text("Say which model, such as resnet50.")
    submit(page, "timm/test_resnot")
    expect(mistake).to_contain_text("No zoo has 'timm/test_resnot'.")
    mistake.get_by_role("button", name="timm/test_resnet", exact=True).click()
    expect(page.locator("[name=model]")).to_have_value("timm/test_resnet")
    expect(problem).to_be_hidden()
    expect(mistake).to_have_count(0)
    submit(page, QUICK, Shifts="500")
    expect(problem).to_have_text("The audit was not started. Please look at: Shifts, px")
    expect(page.locator("label", has_text="Shifts, px").locator(".mistake")).to_contain_text(
        "whole numbers from 1 to 128"
    )
    expect(page.locator("[name=translations_px]")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("[name=translations_px]")).to_be_focused()


def test_models_are_found_and_chosen_by_keyboard(page):
    page.goto("/")
    model = page.get_by_role("combobox", name="Model")
    model.press_sequentially("TEST_RESNET")
    matches = page.get_by_role("listbox", name="Models").get_by_role("option")
    option = matches.and_(page.get_by_role("option", name=QUICK))
    expect(option).to_contain_text("160 px · pretrained")
    expect(model).to_have_attribute("aria-expanded", "true")
    expect(matches.filter(has_text="vit")).to_have_count(0)
    model.press("ArrowDown")
    expect(option).to_have_id(model.get_attribute("aria-activedescendant"))
    expect(option).to_have_attribute("aria-selected", "true")
    model.press("Enter")
    expect(model).to_have_value(QUICK)
    expect(matches).to_have_count(0)
    expect(page.locator("#submit-error")).to_be_hidden()  # that Enter sent nothing

    entry = MODEL_ENTRY | {"supported": False, "reason": MARKUP}
    page.route("**/models?*", lambda route: route.fulfill(json={"models": [entry], "total": 1}))
    model.fill("odd")
    option = page.get_by_role("option", name="timm/odd")
    expect(option).to_contain_text(f"odd · 64 px · cannot be audited: {MARKUP}")
    expect(option).to_be_disabled()
    option.click(force=True)
    expect(model).to_have_value("odd")
    model.press("Escape")
    expect(option).to_be_hidden()


def test_escape_ends_a_search_whose_names_are_still_to_come(page):
    page.goto("/")
    page.route("**/models?*", lambda _: None)  # the answer never comes
    model = page.get_by_label("Model", exact=True)
    with page.expect_request("**/models?q=odd&*"):
        model.fill("odd")
    with page.expect_event("requestfailed"):
        model.press("Escape")
    expect(page.locator("#model-popup")).to_be_hidden()


@pytest.mark.parametrize("page_of", ["audit", "compare"])
def test_an_address_of_nothing_tells_so(page, page_of):
    page.goto(f"/?{page_of}={'0' * 32},{'1' * 32}" if page_of == "compare" else f"/?audit={'0' * 32}")
    expect(page.locator("#detail .notice:visible")).to_contain_text("There is no audit with this id.")
    page.locator("a.brand").click()
    expect(page.get_by_role("heading", name="Audits", exact=True)).to_be_visible()


def test_a_key_is_asked_for_where_one_is_needed(browser, service, client):
    with opened(browser, service.url, key=None) as page:
        page.goto("/")
        expect(page.get_by_label("Data set")).to_contain_text("synthetic")
        dialog = page.get_by_role("dialog", name="API key")
        expect(dialog).to_be_hidden()
        submit(page, QUICK, Seed="7")
        expect(dialog).to_contain_text("This needs an API key")
        dialog.get_by_role("button", name="Not now").click()
        expect(page.locator("#submit-error")).to_contain_text("This needs an API key")
        page.get_by_role("button", name="Audit", exact=True).click()
        expect(dialog.get_by_label("API key")).to_be_focused()
        dialog.get_by_label("API key").fill("wrong")
        dialog.get_by_label("API key").press("Enter")
        expect(dialog).to_contain_text("This needs an API key")
        dialog.get_by_label("API key").fill(KEY)
        dialog.get_by_role("button", name="Use this key").click()
        expect(page.locator("#detail h1")).to_have_text(QUICK)
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


def test_the_page_tells_when_no_worker_runs(page):
    health = {"status": "degraded", "version": "1", "redis": True, "workers": 0, "queued": 3, "running": 0}
    health |= {"datasets": {}, "reasons": ["No worker is running: audits wait until one is started."]}
    page.route("**/health", lambda route: route.fulfill(json=health))
    page.goto("/")
    expect(page.get_by_text("No worker is running: audits wait until one is started.")).to_be_visible()
    expect(page.locator("#health")).to_have_text("0 workers · 0 running · 3 queued")
    notice = page.locator("#degraded")
    expect(notice.get_by_role("listitem")).to_have_count(0)
    health |= {"redis": False, "reasons": ["Redis does not answer.", MARKUP]}
    poll_now(page)
    expect(page.locator("#health")).to_have_text("Redis does not answer")
    expect(notice.get_by_role("listitem")).to_have_text(["Redis does not answer.", MARKUP])
    health |= {"status": "ok", "redis": True, "workers": 2, "devices": ["cuda:0", "cuda:1"], "reasons": []}
    poll_now(page)
    expect(notice).to_be_hidden()
    expect(page.locator("#health")).to_have_attribute("title", "cuda:0, cuda:1")


def test_names_full_of_markup_are_shown_as_text(page, client):
    audit = finished(client)
    one = json.loads(audit.model_dump_json())
    one["request"] |= {"model": MARKUP, "weights": MARKUP, "dataset": MARKUP}
    failed = {**one, "id": "f" * 32, "status": "failed"}
    failed["error"] = {"type": "x", "title": MARKUP, "status": 500, "detail": MARKUP, "suggestions": [MARKUP]}
    report = json.loads(client.report(audit.id).model_dump_json())
    report["model"] |= {"name": MARKUP, "architecture": MARKUP, "family": MARKUP}
    report["model"]["weights"] |= {"origin": MARKUP, "sha256": MARKUP}
    report["parts"]["Final"]["rotation"] |= {"channel": None, "layer": None, "reason": MARKUP}
    report["blocks"][0]["name"] = MARKUP
    listed = {"audits": [one, failed], "total": 2, "next_cursor": None}
    page.route("**/audit?*", lambda route: route.fulfill(json=listed))
    page.route(f"**/audit/{audit.id}", lambda route: route.fulfill(json=one))
    page.route(f"**/audit/{'f' * 32}", lambda route: route.fulfill(json=failed))
    page.route("**/audit/*/report", lambda route: route.fulfill(json=report))
    page.goto("/")
    expect(page.locator("#audits .model").first).to_have_text(MARKUP)
    expect(page.locator("#audits .progress").last).to_contain_text(MARKUP)
    page.locator("#audits .model").first.click()
    expect(page.locator("#detail h1")).to_have_text(MARKUP)
    expect(page.locator("#detail [data-figure=parts] .main-svg").first).to_be_visible()
    expect(page.locator("#detail table.blocks")).to_contain_text(MARKUP)
    page.go_back()
    page.locator("#audits .model").nth(1).click()
    expect(page.locator("#detail .notice:visible")).to_contain_text(MARKUP)
    for marked in (sharing(shard([MARKUP], MARKUP, device=MARKUP)), sharing(shard(worker=MARKUP), **ALONE)):
        measuring(page, audit, marked)
        page.goto(f"/?audit={audit.id}")
        expect(page.locator(".shards")).to_contain_text(MARKUP)
    assert page.locator("main img, main b").count() == 0
    assert page.evaluate("window.hacked") is None


def test_what_has_not_changed_is_not_sent_again_and_keeps_focus_and_selection(page, client):
    one = json.loads(finished(client).model_dump_json())
    tags: list[str | None] = []

    def serve(route: Route) -> None:
        tags.append(route.request.headers.get("if-none-match"))
        if tags[-1] == '"1"':
            route.fulfill(status=304)
        else:
            listed = {"audits": [one], "total": 1, "next_cursor": None}
            route.fulfill(json=listed, headers={"ETag": '"1"' if len(tags) == 1 else '"2"'})

    page.route("**/audit?*", serve)
    page.goto("/")
    link = row(page, QUICK).locator("a.model")
    link.focus()
    link.evaluate("(node) => getSelection().selectAllChildren(node)")
    with page.expect_response(lambda response: response.status == 304):
        poll_now(page)
    one["finished_at"] = one["created_at"].replace("20", "21", 1)
    page.unroute("**/audit?*")
    page.route("**/audit?*", lambda route: route.fulfill(json={"audits": [one], "total": 1, "next_cursor": None}))
    poll_now(page)
    expect(rows(page).locator("td").nth(4)).to_contain_text(" h ")  # the row has changed
    expect(link).to_be_focused()
    assert page.evaluate("getSelection().toString()") == QUICK
    assert tags[:2] == [None, '"1"']


def test_it_polls_politely(browser, service, client):
    """Once in 5 s while nothing runs, in 30 s while hidden, ever slower while it fails, and never what is final."""
    audit = finished(client)
    with opened(browser, service.url) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.clock.install()
        page.goto("/")
        expect(rows(page).first).to_be_visible()
        assert asked_in_a_minute(page, asked, "/audit?") in range(10, 14)
        page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        assert asked_in_a_minute(page, asked, "/audit?") <= 3
        page.evaluate("delete document.hidden")
        poll_now(page)
        page.route("**/audit?*", lambda route: route.abort())
        assert asked_in_a_minute(page, asked, "/audit?") in range(4, 8)
        page.goto(f"/?audit={audit.id}")
        expect(page.locator("#detail table.scores").first).to_be_visible()
        assert asked_in_a_minute(page, asked, f"/audit/{audit.id}") == 0
        assert asked_in_a_minute(page, asked, "/audit?") == 0


def asked_in_a_minute(page: Page, asked: list[str], what: str) -> int:
    asked.clear()
    for _ in range(60):
        page.clock.run_for(1000)
        page.evaluate("new Promise((resolve) => fetch('/health').finally(resolve))")  # answers arrive in real time
    return sum(what in url and "figures" not in url for url in asked)
