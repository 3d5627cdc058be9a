"""The dashboard asks for reflections and directions of shifts, and shows what comes of them."""

import csv
import io
import json

from playwright.sync_api import expect

from tests.e2e.browser import QUICK, bare, body, finished
from tests.e2e.test_dashboard_form import launch, model_field, posted

__all__ = ["posted"]
ASKED = {"reflections": ("horizontal", "vertical"), "direction": "right"}


def test_the_form_asks_for_them(page, posted):
    model_field(page).fill(QUICK)
    page.get_by_label("Data set").select_option("synthetic")
    page.locator("[name=num_images]").fill("3")
    page.get_by_label("Direction").select_option("down")
    page.locator("[name=translations_px]").fill("none")
    page.locator("[name=rotations_deg]").fill("none")
    launch(page)
    expect(page.locator("[name=translations_px] ~ .mistake")).to_have_text(
        "Ask for at least one shift, rotation, reflection or warp."
    )
    page.get_by_label("Reflections").select_option("both")
    launch(page)
    expect(page.locator("[name=direction] ~ .mistake")).to_contain_text("A direction is one of shifts")
    page.locator("[name=translations_px]").fill("2")
    with page.expect_response(lambda answer: answer.request.method == "POST" and "dry_run" not in answer.url) as answer:
        launch(page)
    assert answer.value.ok
    sent = json.loads(posted[-1])
    assert (sent["reflections"], sent["direction"]) == (["horizontal", "vertical"], "down")


def test_the_report_shows_them(page, client):
    audit = finished(client, **ASKED)
    report = client.report(audit.id)
    page.goto(f"/?audit={audit.id}")
    expect(page.locator("#detail table").first.get_by_role("columnheader", name="Reflection")).to_be_visible()
    late = next(row for row in body(page) if row[0] == "Late")
    assert f"{report.parts['Late'].reflection.layer:.3f}" in [bare(cell) for cell in late]
    expect(page.locator("#detail table.blocks thead")).to_contain_text("Reflection channel")
    expect(page.get_by_text("shifts 1, 2 px right · rotations").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(), newline="")))
    (mirrored,) = [row for row in rows if (row["level"], row["name"], row["by"]) == ("part", "Late", "vertical")]
    assert float(mirrored["channel"]) == report.parts["Late"].reflection.by_transform[1].channel
    assert {row["by"] for row in rows if row["transform"] == "translation"} >= {"1 px right", "2 px right"}


def test_a_comparison_shows_them(page, client):
    audits = [finished(client, model, **ASKED) for model in (QUICK, "timm/test_vit.r160_in1k")]
    page.goto("/?compare=" + ",".join(audit.id for audit in audits))
    table = page.locator("#detail table").first
    expect(table.locator("thead")).to_contain_text("Reflection")
    reports = [client.report(audit.id) for audit in audits]
    for row, report in zip(body(page), reports, strict=True):
        assert row[3 + 2 * 5 + 2] == f"{report.parts['Late'].reflection.channel:.3f}"
