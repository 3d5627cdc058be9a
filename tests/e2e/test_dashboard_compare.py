"""The dashboard's comparison: the table, accuracies put in by hand, residuals, the refusal."""

import csv
import io

import httpx
import pytest
from playwright.sync_api import expect

from tests.e2e.browser import body, drawn, finished

MODELS = tuple(f"timm/test_{name}.r160_in1k" for name in ("resnet", "vit", "efficientnet", "byobnet"))
TOP1 = (70.5, 65.0, 68.0, 71.25)
TRANSFORMS = ("translation", "rotation")


@pytest.fixture
def compared(client) -> dict:
    """The service's own comparison of four models, with accuracies."""
    ids = ",".join(finished(client, model).id for model in MODELS)
    asked = {"audits": ids, "top1": ",".join(map(str, TOP1))}
    return httpx.get(f"{client.base_url}/comparison", params=asked).raise_for_status().json()


def address(compared: dict) -> str:
    return "/?compare=" + ",".join(audit["id"] for audit in compared["audits"])


def scores(audit: dict, kind: str) -> list[str]:
    return [f"{part[transform][kind]:.3f}" for transform in TRANSFORMS for part in audit["parts"].values()]


def test_all_scores_side_by_side(page, compared):
    page.goto(address(compared))
    table = page.locator("#detail table").first
    expect(table.locator("tbody tr")).to_have_count(4)
    for audit, row in zip(compared["audits"], body(page), strict=True):
        assert row[0].split()[0] == audit["model"]
        assert row[3:13] == scores(audit, "channel")
    shade = """(nodes) => nodes.map((node) =>
        [node.innerText, getComputedStyle(node).backgroundColor.match(/[0-9.e-]+(?=\\))/)[0]])"""
    shades = sorted((float(score), float(opacity)) for score, opacity in table.locator("td.heat").evaluate_all(shade))
    assert shades == sorted(shades, key=lambda pair: pair[1])  # the higher, the darker
    assert shades[0][1] < 0.1 < 0.3 < shades[-1][1]
    page.get_by_role("link", name="layer", exact=True).click()
    expect(table.locator("td.heat").first).to_have_text(scores(compared["audits"][0], "layer")[0])
    assert page.url.endswith("&kind=layer")
    head = page.get_by_role("columnheader", name="Pool").nth(1)
    head.get_by_role("link").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    by_pool = sorted(compared["audits"], key=lambda audit: -audit["parts"]["Pool"]["rotation"]["layer"])
    names = table.locator("tbody a.model")
    expect(names).to_have_text([audit["model"] for audit in by_pool])
    names.first.click()
    expect(page.locator("#detail h1")).to_have_text(by_pool[0]["model"])
    page.go_back()
    expect(names).to_have_text([audit["model"] for audit in by_pool])


def test_the_figures_have_the_scores(page, compared):
    page.goto(address(compared))
    parts = drawn(page, "parts")
    assert all(audit["parts"]["Late"]["rotation"]["layer"] in parts for audit in compared["audits"])
    assert len(drawn(page, "depth")) > 20
    assert len(drawn(page, "shifts")) > 20
    expect(page.locator("[data-figure=accuracy]")).to_be_hidden()
    expect(page.locator("#detail")).to_contain_text("Top-1 accuracies can be put into the table above.")


def test_accuracies_put_in_give_correlation_and_residuals(page, compared):
    page.goto(address(compared))
    for audit, top1 in zip(compared["audits"], TOP1, strict=True):
        field = page.get_by_label(f"ImageNet top-1 of {audit['model']}")
        field.fill(str(top1))
        field.press("Tab")
    relation = compared["accuracy"]["Early"]["translation"]["channel"]
    related = page.get_by_role("table", name="Spearman")
    early = related.get_by_role("row", name="Early").get_by_role("cell")
    expect(early.first).to_have_text(f"{relation['spearman']:.2f}".replace("-", "−"))
    expect(early.nth(2)).to_have_text(f"{relation['p_value']:.3f}")
    expect(early.nth(3)).to_have_text("4")
    residuals = page.get_by_role("table", name="Residuals")
    expect(residuals.locator("tbody tr")).to_have_count(4)
    first = residuals.locator("tbody tr").first.locator("td").first
    expect(first).to_have_text(f"{relation['residuals'][compared['audits'][0]['id']]:+.3f}".replace("-", "−"))
    residuals.get_by_role("columnheader", name="Late").first.get_by_role("link").click()
    late = compared["accuracy"]["Late"]["translation"]["channel"]["residuals"]
    order = sorted(compared["audits"], key=lambda audit: -late[audit["id"]])
    expect(residuals.locator("tbody a.model")).to_have_text([audit["model"] for audit in order])
    drawn(page, "accuracy")
    page.reload()
    expect(residuals.locator("tbody a.model")).to_have_text([audit["model"] for audit in order])
    assert "top1=70.5,65,68,71.25" in page.url.replace("65.0", "65").replace("68.0", "68")

    field = page.get_by_label(f"ImageNet top-1 of {MODELS[0]}")
    field.fill("seventy")
    field.press("Tab")
    expect(field).to_have_attribute("aria-invalid", "true")
    page.get_by_role("link", name=f"Leave out {MODELS[1]}").click()
    expect(page.locator("#detail h1")).to_have_text("Comparison of 3 audits")
    expect(page.get_by_label(f"ImageNet top-1 of {MODELS[3]}")).to_have_value("71.25")


def test_audits_of_different_methods_are_refused_with_the_reason(page, client, compared):
    other = finished(client, translations_px=(1,))
    page.goto(f"{address(compared)},{other.id}")
    notice = page.locator("#detail .notice")
    expect(notice).to_contain_text("Scores compare only between audits of one method on the same images.")
    expect(notice).to_contain_text("Shifts, px: 1,2 in 4 audits, 1 in")
    expect(page.get_by_role("listitem").filter(has_text="shifts 1 px")).to_have_count(1)
    page.get_by_role("listitem").filter(has_text="shifts 1 px").get_by_role("link", name="Leave out").click()
    expect(page.locator("#detail table").first.locator("tbody tr")).to_have_count(4)


def test_differences_from_a_reference_with_ties(page, client):
    audits = [finished(client, model, num_images=24) for model in MODELS[:2]]
    again = finished(client, MODELS[0], num_images=24, repetition=1)
    ids = [audit.id for audit in (*audits, again)]
    asked = {"audits": ",".join(ids), "reference": ids[1]}
    found = httpx.get(f"{client.base_url}/comparison", params=asked).raise_for_status().json()["differences"]
    page.goto("/?compare=" + ",".join(ids))
    table = page.get_by_role("table", name="less that of")
    rows = table.locator("tbody tr")
    expect(rows).to_have_count(2)
    same = rows.filter(has_text=again.id[:8]).locator("td")
    expect(same).to_have_text(["0.000±0.000tie"] * 10)
    scored = page.locator("#detail table").first.locator("tbody th")
    expect(scored.filter(has_text=again.id[:8])).to_have_count(1)
    expect(scored.nth(1)).not_to_contain_text(ids[1][:8])  # the only one of its model
    page.get_by_label("Less the scores of").select_option(ids[1])
    first = rows.first.locator("td").first
    value = found["audits"][0]["parts"]["Early"]["translation"]["channel"]["value"]
    expect(first).to_contain_text(f"{value:+.3f}".replace("-", "−"))
    assert f"reference={ids[1]}" in page.url
    expect(table.locator("caption")).to_contain_text(MODELS[1])
    expect(table.locator("caption")).to_contain_text("Holm over 2 audits")
    page.reload()
    expect(first).to_contain_text(f"{value:+.3f}".replace("-", "−"))
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig"), newline="")))
    for audit in found["audits"]:
        final = next(
            row for row in rows if (row["audit"], row["part"], row["transform"]) == (audit["id"], "Final", "rotation")
        )
        for score, difference in audit["parts"]["Final"]["rotation"].items():
            assert float(final[f"{score}_difference"]) == difference["value"]
            assert float(final[f"{score}_difference_high"]) == difference["interval"][1]
            assert float(final[f"{score}_p_adjusted"]) == difference["p_adjusted"]
