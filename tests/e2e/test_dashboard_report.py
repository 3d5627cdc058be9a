"""The dashboard's report: every number of it, sorted, drawn, kept as a file."""

import csv
import io
import json

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import QUICK, bare, body, drawn, finished, spread


def shown(value: float | None, interval: tuple[float, float] | None) -> str:
    number = "–" if value is None else f"{value:.3f}"
    return number + (spread(value, interval).replace(" ", "") if interval else "")


def scores(of) -> list[str]:
    """The four scores of a part or a block, as a table shows them."""
    return [
        shown(getattr(score, kind), getattr(score, f"{kind}_interval"))
        for score in (of.translation, of.rotation)
        for kind in ("channel", "layer")
    ]


def scores_of_part(part, of_report) -> list[str]:
    """All scores of a part, as the table of parts shows them: held-out and aligned scores where any part has some."""
    cells = []
    for transform in ("translation", "rotation"):
        score = getattr(part, transform)
        names = ["channel", "layer"]
        if any(getattr(one, transform).layer_held_out is not None for one in of_report.parts.values()):
            names.append("layer_held_out")
        cells += [shown(getattr(score, name), getattr(score, f"{name}_interval")) for name in names]
        if transform == "translation" and any(one.translation.aligned for one in of_report.parts.values()):
            cells.append(shown(score.aligned.channel, None))
    return cells


def csv_of(page: Page) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    text = download.value.path().read_bytes().decode()
    assert text.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_report_is_shown_whole(page, client):
    audit = finished(client, num_images=40)
    report = client.report(audit.id)
    assert report.parts["Early"].translation.channel_interval
    page.goto(f"/?audit={audit.id}")
    expect(page.locator("#detail table.blocks tbody tr")).to_have_count(len(report.blocks))
    cells = [[cell.replace(" ", "") for cell in row] for row in body(page)]
    assert cells == [[name, str(part.blocks), *scores_of_part(part, report)] for name, part in report.parts.items()]
    final = report.parts["Final"]
    agreements = [[row.top1_agreement for row in score.by_transform] for score in (final.translation, final.rotation)]
    shown_agreements = [f"{value:.3f}" for of in agreements for value in (sum(of) / len(of), *of)]
    assert [bare(cell) for cell in body(page, 1)[0]] == shown_agreements
    first = final.translation.by_transform[0]  # wide even where all images keep their class
    assert spread(first.top1_agreement, first.top1_agreement_interval) in body(page, 1)[0][1]
    blocks = body(page, 2)
    for block, row in zip(report.blocks, blocks, strict=True):
        assert row[0].removesuffix(" see it") == block.name
        assert row[1:6] == [
            block.part,
            f"{block.channels:,}",
            f"{block.height} × {block.width}",
            block.layout,
            str(block.dead_channels),
        ]
        assert [cell.replace(" ", "") for cell in row[6:]] == scores(block)
    expect(page.locator("#detail .notice.warn")).to_contain_text("Untrained weights.")
    read = report.reading()
    told = page.locator("#detail .reading")
    expect(told.locator("> p")).to_have_text([f"{sentence.text}?" for sentence in read.sentences])
    expect(told.locator("li")).to_have_text([f"{warning.text}?" for warning in read.warnings])
    expect(page.locator("#detail .body > :first-child .reading")).to_be_visible()  # what a newcomer needs comes first
    for text in (report.model.weights.origin, report.model.weights.sha256, report.environment.torch, "shifts 1, 2 px"):
        expect(
            page.locator("#detail section", has=page.get_by_role("heading", name="Provenance")).locator("dl")
        ).to_contain_text(text)
    link = page.get_by_role("link", name="JSON")
    stored = httpx.get(link.evaluate("(node) => node.href")).content
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == f"{audit.id}.json"
    assert (
        download.value.path().read_bytes() == stored == httpx.get(f"{client.base_url}/audit/{audit.id}/report").content
    )


def test_the_figures_have_the_report_s_numbers(page, client):
    audit = finished(client)
    report = client.report(audit.id)
    page.goto(f"/?audit={audit.id}")
    parts, shifts, depth = (drawn(page, name) for name in ("parts", "shifts", "depth"))
    for part in report.parts.values():
        assert part.rotation.layer in parts
        assert {row.channel for row in part.translation.by_transform} <= set(shifts)
    assert {block.rotation.channel for block in report.blocks} <= set(depth)
    figure = page.get_by_role("img", name="By part")
    ink = "(node) => getComputedStyle(node.querySelector('.xtick text')).fill"
    light = figure.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    expect(figure.locator(".xtick text").first).not_to_have_css("fill", light)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")  # paper is light whatever the screen is
    expect(figure.locator(".xtick text").first).to_have_css("fill", light)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(figure.locator(".xtick text").first).not_to_have_css("fill", light)


def test_without_its_script_the_numbers_stay(page, client):
    page.route("**/plotly.min.js", lambda route: route.abort())
    page.goto(f"/?audit={finished(client).id}")
    expect(page.get_by_text("The figures could not be loaded; the tables have the same numbers.")).to_be_visible()
    expect(page.locator("#detail table.blocks")).to_be_visible()


def test_figures_follow_the_width_and_keep_their_height(page, client):
    page.goto(f"/?audit={finished(client).id}")
    drawn(page, "depth")
    figure = page.get_by_role("img", name="Through the depth")
    svg = figure.locator(".main-svg").first
    height = svg.get_attribute("height")
    for width in (800, 400, 1360):
        page.set_viewport_size({"width": width, "height": 900})
        expect(svg).to_have_attribute("width", str(figure.evaluate("(node) => node.clientWidth")))
        assert svg.get_attribute("height") == height


def test_blocks_sort_and_the_address_keeps_it(page, client):
    audit = finished(client)
    report = client.report(audit.id)
    page.goto(f"/?audit={audit.id}")
    names = page.locator("#detail table.blocks tbody th code")
    expect(names).to_have_text([block.name for block in report.blocks])
    head = page.get_by_role("columnheader", name="Channels")
    head.get_by_role("link").press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(head.get_by_role("link")).to_be_focused()
    down = [block.name for block in sorted(report.blocks, key=lambda block: -block.channels)]
    expect(names).to_have_text(down)
    page.reload()
    expect(names).to_have_text(down)
    head.get_by_role("link").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    page.go_back()
    page.go_back()
    expect(names).to_have_text([block.name for block in report.blocks])


def test_csv_has_every_score(page, client):
    audit = finished(client, num_images=40)
    report = client.report(audit.id)
    page.goto(f"/?audit={audit.id}")
    rows = csv_of(page)
    levels = [*report.parts.values(), *report.blocks]
    assert len(rows) == sum(
        2 + bool(of.translation.aligned) + len(of.translation.by_transform) + len(of.rotation.by_transform)
        for of in levels
    )
    assert {row["audit"] for row in rows} == {audit.id}

    def find(**fields: str) -> dict[str, str]:
        (match,) = [row for row in rows if fields.items() <= row.items()]
        return match

    for block in report.blocks:
        row = find(level="block", name=block.name, transform="translation", by="mean")
        score = block.translation
        assert [float(row[f"channel{end}"]) for end in ("", "_low", "_high")] == [
            score.channel,
            *score.channel_interval,
        ]
        assert (row["part"], int(row["dead_channels"])) == (block.part, block.dead_channels)
        shift = find(level="block", name=block.name, transform="translation", by="2 px")
        assert float(shift["layer"]) == score.by_transform[1].layer
    final = find(level="part", name="Final", transform="rotation", by="180 deg")
    assert float(final["top1_agreement"]) == report.parts["Final"].rotation.by_transform[1].top1_agreement


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x")', "+1", "@x", "-2", " =1", "\n=1", "＝1", 'a "b", c\nd'])
def test_csv_is_no_formula_and_stays_in_its_cell(page, client, name):
    audit = finished(client)
    report = json.loads(client.report(audit.id).model_dump_json())
    report["blocks"][0]["name"] = name
    page.route("**/audit/*/report", lambda route: route.fulfill(json=report))
    page.goto(f"/?audit={audit.id}")
    names = {row["name"] for row in csv_of(page) if row["level"] == "block"}
    assert (name if name[0] == "a" else f"'{name}") in names
    assert len(names) == len(report["blocks"])


def test_borders_baseline_and_cosine_have_tables(page, client):
    asked = {"similarity": "both", "border": "all", "num_images": 4}
    audit = finished(client, **asked)
    report = client.report(audit.id)
    page.goto(f"/?audit={audit.id}")
    borders = page.get_by_role("table", name="Translation equivariance under each border")
    for name in report.parts:
        by_border = [report.borders[border][name].translation for border in ("crop", "zero", "circular")]
        expected = [shown(getattr(score, kind), None) for score in by_border for kind in ("channel", "layer")]
        expect(borders.get_by_role("row", name=name).get_by_role("cell")).to_have_text(expected)
    cosine = page.get_by_role("table", name="The same by cosine similarity")
    expect(cosine.get_by_role("row", name="Late")).to_contain_text(f"{report.cosine.parts['Late'].rotation.layer:.3f}")
    expect(page.locator("#detail")).to_contain_text("rank correlation of the blocks’ scores with their mean activation")

    learned = {"value": -0.25, "interval": [-0.5, 0.0]}
    estimates = {"pretrained": {"value": 0.5, "interval": None}, "untrained": {"value": 0.75, "interval": None}}
    one = estimates | {"difference": learned, "by_seed": [0.75]}
    kinds = {"channel": one, "layer": one}
    body_ = json.loads(report.model_dump_json())
    body_["baseline"] = {"seeds": [0], "parts": {"Early": {"translation": kinds, "rotation": kinds}}}
    page.route("**/audit/*/report", lambda route: route.fulfill(json=body_))
    page.reload()
    table = page.get_by_role("table", name="that of the untrained architecture (seed 0)")
    expect(table.get_by_role("cell")).to_have_text(["0.500", "0.750", "−0.250±0.250"] * 2)


def test_a_model_of_another_name_has_another_page(page, client):
    first, second = finished(client), finished(client, "timm/test_vit.r160_in1k")
    page.goto(f"/?audit={first.id}")
    expect(page.locator("#detail table.blocks")).to_be_visible()
    page.evaluate(f"history.pushState(null, '', '/?audit={second.id}'); dispatchEvent(new PopStateEvent('popstate'))")
    expect(page.locator("#detail h1")).to_have_text("timm/test_vit.r160_in1k")
    page.go_back()
    expect(page.locator("#detail h1")).to_have_text(QUICK)
