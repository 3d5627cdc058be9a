"""The page /method: docs/method.md as HTML, in which headings, words in bold type and terms have anchors."""

import html
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from zooaudit.contract import TERMS

METHOD = Path(__file__).parent.parent / "docs" / "method.md"
# All addresses are relative: a proxy may serve the dashboard below a path of its own.
PAGE = """\
<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>The measure · zooaudit</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="static/css/base.css">
    <link rel="stylesheet" href="static/css/tables.css">
    <link rel="stylesheet" href="static/css/prose.css">
  </head>
  <body>
    <a class="skip" href="#main">Skip to the content</a>
    <header class="top">
      <a href="./" class="brand"><svg viewBox="0 0 16 16" aria-hidden="true"><path class="one" d="M1 9h3v6H1zm5-5h3v11H6z"/><path class="two" d="M11 1h4v14h-4z"/></svg>zooaudit</a>
      <p class="motto">How equivariant is a model, and where in its depth?</p>
      <nav class="pages" aria-label="Pages"><a href="./zoo">Zoo</a> <a href="./method" aria-current="page">Method</a> <a href="./docs">API</a></nav>
    </header>
    <main id="main" class="card prose" tabindex="-1">
      <nav aria-label="Contents"><ul>
{contents}
      </ul></nav>
{text}
    </main>
  </body>
</html>
"""  # noqa: E501


@cache
def method_page() -> str:
    """Render the page; it needs no script."""
    # Imported here, because the service starts without it.
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

    def set_anchor(opening: Token, words: str, text: list[Token]) -> None:
        anchor = slug(words)
        if anchor and anchor not in anchors:
            anchors[anchor] = words
            opening.attrSet("id", anchor)
            # The terms that are explained here, each by its name, so that a link needs to know no more.
            place = next((place for place, token in enumerate(text) if token is opening), 0)
            for name in [name for name, term in TERMS.items() if term.anchor == anchor != name]:
                text.insert(place, Token("html_inline", "", 0, content=f'<span id="{name}"></span>'))

    def bold_words(tokens: list[Token]) -> Iterator[tuple[Token, str]]:
        for place, token in enumerate(tokens):
            if token.type == "strong_open":
                ends = next(end for end in range(place, len(tokens)) if tokens[end].type == "strong_close")
                yield token, "".join(inner.content for inner in tokens[place:ends])

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(METHOD.read_text(encoding="utf-8"))
    anchors: dict[str, str] = {}
    headings = [
        (tokens[place], tokens[place + 1]) for place, token in enumerate(tokens) if token.type == "heading_open"
    ]
    for opening, inline in headings:  # before all bold words: the same word may stand in an earlier section
        set_anchor(opening, inline.content, inline.children or [])
    sections = [str(opening.attrs["id"]) for opening, _ in headings if opening.tag == "h2"]
    for token in tokens:
        for opening, words in list(bold_words(token.children or [])):
            set_anchor(opening, words, token.children or [])
    contents = "\n".join(
        f'        <li><a href="#{anchor}">{html.escape(anchors[anchor])}</a></li>' for anchor in sections
    )
    return PAGE.format(contents=contents, text=markdown.renderer.render(tokens, markdown.options, {}))


def slug(words: str) -> str:
    """Make an anchor of words.

    >>> slug("[open] The canvas."), slug("Top-1 agreement")
    ('the-canvas', 'top-1-agreement')
    """
    return re.sub(r"[^a-z0-9]+", "-", words.lower().replace("[open]", "")).strip("-")
