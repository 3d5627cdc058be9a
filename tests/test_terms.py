"""The words of a report are explained, on the page of the measure and in a sentence each."""

import re

import pytest
from zooaudit.contract import PARTS, TERMS, find_term

from service.method_page import METHOD, method_page, slug

ANCHORS = re.findall(r' id="([^"]+)"', method_page())


@pytest.mark.parametrize("name", TERMS)
def test_every_term_has_its_place_on_the_page(name):
    term = TERMS[name]
    assert {name, term.anchor} <= set(ANCHORS)
    assert re.fullmatch("[a-z0-9-]+", name)
    assert term.meaning.endswith(".")
    assert 1 <= len(re.findall(r"[.?!](?=\s|$)", term.meaning)) <= 3
    assert find_term(term.word) == find_term(name.upper()) == name


def test_what_a_report_shows_has_a_term():
    fields = ("channel", "layer", "layer_held_out", "top1_agreement", "dead_channels", "aligned", "tolerance")
    assert [field for field in (*PARTS, *fields) if not find_term(field)] == []


def test_an_anchor_is_there_once():
    assert len(ANCHORS) == len(set(ANCHORS))


def test_the_page_is_the_document_and_needs_no_script():
    page, document = method_page(), METHOD.read_text()
    headings = re.findall(r"^##? (.+)$", document, re.MULTILINE)
    assert [slug(heading) for heading in headings] == re.findall(r'<h[12] id="([^"]+)"', page)
    assert page.count("<table>") == len(re.findall(r"^\|-", document, re.MULTILINE)) > 0
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!\./|#|static/|data:,)', page)  # relative: it may be served below a path
    assert "**" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)


def test_the_document_and_the_warnings_name_the_same_limits():
    from zooaudit.views import reading, report_warnings

    text = METHOD.read_text().partition("## Two kinds")[0]
    assert f"wider than {report_warnings.WIDE:.2f}" in text
    assert text.count(f"more than {report_warnings.BIAS} above") == 2
    assert f"is above {report_warnings.CHANCE}," in text
    assert [f"{least:.2f}" for least, _ in reading.SCALE] == re.findall(r"^\| (0\.\d\d) to", text, re.MULTILINE)
