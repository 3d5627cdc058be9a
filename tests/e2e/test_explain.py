"""Explanations from a real worker: through the library, the command line and the dashboard."""

import os
import subprocess
import sys
import time

import psutil
import pytest
import torch
from playwright.sync_api import expect
from redis import Redis
from safetensors.torch import save_file
from timm import create_model
from zooaudit import Audit, AuditClient, InvalidRequest
from zooaudit.contract import EXPLAINING_KEY, ExplanationQuestion, ExplanationRequest, explanation_key

from service.stack import Stack
from tests.e2e.browser import KEY, LIMIT_MS, QUICK, finished, opened
from tests.e2e.harness import alive, eventually

LIMIT_S = LIMIT_MS / 1000


@pytest.fixture
def audit(client: AuditClient) -> Audit:
    return finished(client, num_images=6, seed=11, rotations_deg=(90,))


def command(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "zooaudit", *arguments],
        env=os.environ | {"ZOOAUDIT_URL": stack.url, "ZOOAUDIT_API_KEY": KEY, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_made_once_and_kept(client: AuditClient, service: Stack, audit: Audit, tmp_path) -> None:
    report = client.report(audit.id)
    block = report.blocks[3]
    shown = client.explain(audit.id, block=block.name, image=2, angle_deg=90, timeout=LIMIT_S)
    assert (shown.audit, shown.block, shown.part, shown.place) == (audit.id, block.name, block.part, 2)
    assert shown.audit_channel == block.rotation.by_transform[0].channel
    assert 0 < len(shown.channels) <= 8
    asked = ExplanationRequest(block=block.name, image=2, angle_deg=90)
    stored = service.directory / "store" / explanation_key(ExplanationQuestion(audit=audit.id, maps=asked))
    written = stored.stat().st_mtime_ns
    assert len(stored.read_bytes()) < 300_000
    assert client.explain(audit.id[:8], block=block.name, image=2, angle_deg=90) == shown
    assert client.explain(audit.id, block=block.name, image=shown.image, angle_deg=90, timeout=LIMIT_S) == shown
    assert stored.stat().st_mtime_ns == written
    picture = tmp_path / "maps.html"
    ran = command(service, "explain", audit.id, "--html", str(picture))
    assert ran.returncode == 0, ran.stderr
    least = client.least_equivariant(audit.id, shift_px=2)
    assert (least.images, least.changed) == (
        6,
        sum(one.prediction.before != one.prediction.after for one in least.least if one.prediction),
    )
    lines = ran.stdout.splitlines()
    assert lines[0] == "Least similar to themselves at 2 px"
    assert [line.split()[0] for line in lines[2:8]] == [str(one.place) for one in least.least]
    assert f"image {least.least[0].place} ({least.least[0].image})" in ran.stdout
    assert "<html>" in picture.read_text()
    refused = command(service, "explain", audit.id, "--shift", "3")
    assert (refused.returncode, refused.stderr) == (2, "The audit has not measured 3 px; it has 1 px, 2 px, 90°.\n")


def test_a_worker_that_is_killed_meanwhile_is_asked_again(client: AuditClient, service: Stack, audit: Audit) -> None:
    """All processes beside the worker die with what they do; the worker starts them again, and goes on."""
    beside = [child.pid for child in psutil.Process(service.workers[0].pid).children(recursive=True)]
    question = ExplanationQuestion(
        audit=audit.id, maps=ExplanationRequest(block=client.report(audit.id).blocks[0].name, image=5, shift_px=1)
    )
    for pid in beside:
        psutil.Process(pid).kill()
    # As if one of them had begun to answer, and nobody has noticed yet that it is dead.
    with Redis.from_url(service.redis_url) as redis:
        redis.zadd(EXPLAINING_KEY, {question.model_dump_json(): time.time() + 2})
    shown = client.explain(audit.id, block=question.maps.block, image=5, shift_px=1, timeout=LIMIT_S)
    assert shown.place == 5
    assert not any(map(alive, beside))


def test_weights_that_are_no_longer_the_audit_s_are_refused(client: AuditClient, service: Stack) -> None:
    def save(seed: int) -> None:
        torch.manual_seed(seed)
        save_file(create_model("test_resnet").state_dict(), service.directory / "checkpoints" / "explained.safetensors")

    save(1)
    audit = finished(client, weights="checkpoint:explained", num_images=2)
    block = client.report(audit.id).blocks[0].name
    assert client.explain(audit.id, block=block, shift_px=1, timeout=LIMIT_S).channels
    save(2)
    assert client.explain(audit.id, block=block, shift_px=1).channels  # that of before is kept
    with pytest.raises(InvalidRequest, match="has been replaced since the audit"):
        client.explain(audit.id, block=block, shift_px=2, timeout=LIMIT_S)


def test_the_page_shows_maps_and_leads_from_image_to_image(page, client: AuditClient, audit: Audit) -> None:
    report = client.report(audit.id)
    page.goto(f"/?audit={audit.id}")
    page.locator("table.blocks .see-it").nth(3).click()
    maps = page.locator("canvas.map")
    name = report.blocks[3].name
    shown = client.explain(audit.id, block=name, image=0, angle_deg=90, timeout=LIMIT_S)
    expect(maps).to_have_count(3 * len(shown.channels))
    expect(page.locator("#detail h1")).to_have_text(QUICK)
    expect(page.get_by_label("Block")).to_have_value(name)
    expect(page.locator("table.maps tbody th strong")).to_have_text([str(one.channel) for one in shown.channels])
    colours = "(node) => [...node.getContext('2d').getImageData(0, 0, node.width, node.height).data]"
    drawn = maps.nth(2).evaluate(colours)
    assert len(drawn) == 4 * shown.shown_height * shown.shown_width
    assert len({*drawn}) > 10
    expect(page.locator("img.view")).to_have_count(2)
    assert page.locator("img.view").first.evaluate("(node) => node.complete && node.naturalWidth") > 0

    page.get_by_role("link", name="Next image").click()
    expect(page).to_have_url(f"{client.base_url}/?explain={audit.id}&block={name}&image=1")
    expect(page.locator("#detail")).to_contain_text("Image 1, ")
    page.get_by_label("Transform").select_option("2 px")
    expect(page).to_have_url(f"{client.base_url}/?explain={audit.id}&block={name}&image=1&shift=2")
    least = client.least_equivariant(audit.id, shift_px=2, timeout=LIMIT_S)
    page.reload()
    expect(page.locator("table.least tbody th a")).to_have_text([one.image for one in least.least])
    assert page.locator("img.thumbnail").last.evaluate("(node) => node.naturalWidth") > 0
    page.locator("table.least tbody a").nth(2).click()
    expect(page.locator("#detail")).to_contain_text(f"Image {least.least[2].place}, {least.least[2].image}")
    page.go_back()
    expect(page.locator("#detail")).to_contain_text("Image 1, ")
    page.goto(f"/?explain={audit.id}&block=nonsense&image=0")
    expect(page.locator("#detail .notice.bad")).to_contain_text("has no block 'nonsense'")
    page.goto("/?explain=nonsense")
    expect(page.locator("#detail .notice.bad")).to_contain_text("There is no audit with this id")


def test_an_audit_of_warps_alone_is_explained(page, client: AuditClient, service: Stack) -> None:
    warps = [{"kind": "rotation", "amounts": [-30, 15]}, {"kind": "scale", "amounts": [1.1]}]
    audit = finished(client, num_images=6, seed=12, translations_px=(), rotations_deg=(), warps=warps)
    ran = command(service, "explain", audit.id, "--warp", "rotation:-30")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("Least similar to themselves at warp rotation −30°\n")
    block = client.report(audit.id).blocks[1]
    shown = client.explain(audit.id, block=block.name, warp="rotation", amount=-30, timeout=LIMIT_S)
    assert (shown.warp, shown.amount, shown.audit_channel) == (
        "rotation",
        -30,
        block.warp_rotation.by_transform[0].channel,
    )
    for warp, said in (
        ("rotation:30", "has not measured warp rotation 30; it has warp rotation -30,15, warp scale 1.1."),
        ("rotation:15,30", "--warp: give one warp, such as rotation:15, and not rotation:15,30."),
        ("twist:1", "--warp: 'twist:1' is not like rotation:15,30 translation:0.5 or none"),
    ):
        refused = command(service, "explain", audit.id, "--warp", warp)
        assert refused.returncode == 2
        assert said in refused.stderr
    page.goto(f"/?explain={audit.id}&block={block.name}&image=0")
    expect(page.get_by_label("Transform")).to_have_value("warp rotation:-30")
    expect(page.locator("table.maps thead")).to_contain_text("Map of x, warped")
    expect(page.locator("table.maps caption")).to_contain_text(
        f"over {shown.cells} of {shown.height} × {shown.width} cells"
    )
    page.get_by_label("Transform").select_option("warp scale 1.1")
    expect(page).to_have_url(f"{client.base_url}/?explain={audit.id}&block={block.name}&image=0&warp=scale%3A1.1")
    expect(page.locator("#detail .note").first).to_be_visible()
    expect(page.locator("table.maps thead")).to_contain_text("Map of x, warped")


def test_names_are_text_and_who_has_no_key_is_not_asked_at_once(browser, service, client, audit) -> None:
    block = client.report(audit.id).blocks[0].name
    shown = client.explain(audit.id, block=block, image=4, angle_deg=90, timeout=LIMIT_S)
    odd = shown.model_copy(update={"image": "<img src=x onerror=alert(1)>.png"})
    with opened(browser, service.url, key=None) as page:
        page.route(
            "**/explanation?*image=4*", lambda route: route.fulfill(json=odd.model_dump(mode="json", exclude_none=True))
        )
        page.goto(f"/?explain={audit.id}&block={block}&image=4")
        expect(page.locator("#detail")).to_contain_text("Image 4, <img src=x onerror=alert(1)>.png")
        page.goto(f"/?explain={audit.id}&block={block}&image=3&shift=1")
        page.get_by_role("button", name="Make the maps").click()
        dialog = page.get_by_role("dialog", name="API key")
        dialog.get_by_label("API key").fill(KEY)
        dialog.get_by_role("button", name="Use this key").click()
        expect(page.locator("canvas.map").first).to_be_visible()


def test_it_works_while_an_audit_runs(client: AuditClient, audit: Audit) -> None:
    running = client.submit(QUICK, weights="untrained", dataset="synthetic", num_images=5000, seed=5)
    eventually(lambda: client.status(running.id).progress.phase == "measuring", LIMIT_S)
    block = client.report(audit.id).blocks[1].name
    assert client.explain(audit.id, block=block, image=1, shift_px=2, timeout=LIMIT_S).channels
    assert client.status(running.id).status == "running"
