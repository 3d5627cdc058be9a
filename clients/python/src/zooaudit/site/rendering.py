"""Fills in the templates of pages. Whatever a report names is text, markup included."""

import hashlib
import importlib.util
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ASSETS = FOLDER / "assets"
TEMPLATES = FOLDER / "templates"


def render(template: str, **values: Any) -> str:
    """Fill in a template. Raises ImportError, which says what to install, without jinja2."""
    return str(_environment().get_template(template).render(**values))


def asset(name: str) -> str:
    """Read one of the files that all pages share."""
    return (ASSETS / name).read_text("utf-8")


def plotly_script() -> Path:
    """Find plotly's script, which draws the figures. Raises ImportError, which says what to install, without plotly."""
    spec = importlib.util.find_spec("plotly")  # not imported, which takes a second
    if spec is None or spec.origin is None:
        raise ImportError("The figures of pages are drawn by plotly: pip install 'zooaudit[publish]'")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


def in_script(json_text: str) -> str:
    """Write JSON so that it can stand in a script of a page: no text in it ends the script or begins a comment.

    >>> in_script('{"name": "</script>"}')
    '{"name": "\\\\u003c/script\\\\u003e"}'
    """
    for character in "<>&\u2028\u2029":
        json_text = json_text.replace(character, f"\\u{ord(character):04x}")
    return json_text


def compact(value: Any) -> str:
    """Write a value as JSON for a script of a page."""
    return in_script(json.dumps(value, separators=(",", ":"), allow_nan=False))


def look() -> str:
    """Compute a hash of the templates and shared files: pages that were made with others look different."""
    files = sorted([*TEMPLATES.iterdir(), *ASSETS.iterdir()])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()[:16]


@lru_cache(1)
def _environment() -> Any:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise ImportError("Pages are made with jinja2: pip install 'zooaudit[publish]'") from None
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=lambda name: name != "README.md",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    as_it_is: Callable[[str], str] = Markup
    environment.filters["as_it_is"] = as_it_is
    return environment
