"""The page of one report: it shows every name as text, and holds the report itself."""

import html
import json
import re

from zooaudit.contract import Report, seal_of, sealed
from zooaudit.site import report_page
from zooaudit.views.reading import reading

from tests.client.samples import report, whole_report

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>&\"'</title>"
ASSETS = {name: f"assets/{name}" for name in ("site_css", "plotly_js", "report_js")}


def test_names_with_markup_stay_text():
    plain = report()
    weights = plain.model.weights.model_copy(update={"origin": EVIL})
    model = plain.model.model_copy(update={"name": EVIL, "family": EVIL, "weights": weights})
    evil = plain.model_copy(
        update={
            "model": model,
            "images": plain.images.model_copy(update={"dataset": EVIL}),
            "blocks": tuple(block.model_copy(update={"name": EVIL}) for block in whole_report().blocks),
            "environment": plain.environment.model_copy(update={"device": EVIL}),
        }
    )
    for page in (report_page.self_contained(evil), report_page.page_in_site(evil, EVIL, None, ASSETS)):
        assert "<img src=x" not in page
        assert "alert(1)</script>" not in page
        head = page.partition("</head>")[0]
        assert (head.count("</title>"), head.count("<title>")) == (1, 1)


def test_the_page_holds_the_report_with_its_seal():
    whole = sealed(whole_report())
    page = report_page.self_contained(whole)
    (held,) = re.findall(r'<script type="application/json" id="report">(.*?)</script>', page)
    assert Report.model_validate_json(held) == whole
    assert seal_of(json.loads(held)) == whole.environment.report_sha256
    for part in whole.parts.values():
        assert f"{part.translation.channel:.3f}" in page
    for block in whole.blocks:
        assert f"{block.rotation.layer:.3f}" in page
    assert page.count("plotly.js v") == 1


def test_a_page_in_a_site_is_small_and_names_only_files_of_the_site():
    page = report_page.page_in_site(whole_report(), "A zoo", None, ASSETS)
    assert len(page) < 65_000
    names = [name for name in re.findall(r'(?:src|href)="([^"]*)"', page) if not name.startswith("data:")]
    shared = ["../index.html", *(f"../{path}" for path in ASSETS.values())]
    terms = [name for name in names if name.startswith("../terms.html#")]
    assert sorted(name for name in names if name not in terms) == sorted([*shared, f"{whole_report().id}.json"])


def test_the_page_opens_with_the_reading_and_its_terms_lead_to_their_meaning():
    plain = report()
    weights = plain.model.weights.model_copy(update={"kind": "untrained"})
    untrained = plain.model_copy(update={"model": plain.model.model_copy(update={"weights": weights})})
    read = reading(untrained)
    assert read.sentences
    assert read.warnings
    for page, words in (
        (report_page.self_contained(untrained), "#"),
        (report_page.page_in_site(untrained, "A zoo", None, ASSETS), "../terms.html#"),
    ):
        opening = html.unescape(page.partition("</header>")[0])
        for statement in (*read.sentences, *read.warnings):
            assert statement.text in opening
            assert f'href="{words}{statement.term}"' in opening
            assert words != "#" or page.count(f' id="{statement.term}"') == 1
