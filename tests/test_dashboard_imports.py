"""The dashboard's modules import one way: app, pages, widgets, lib."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

from service import method_page

DASHBOARD = Path(__file__).parent.parent / "clients" / "dashboard"
LAYERS = (".", "pages", "widgets", "lib")


IMPORT = re.compile(r'^(?:import|export)\b(?:[^;"=]*\bfrom)? "([^"]+)";', re.MULTILINE)


def imports() -> dict[str, list[str]]:
    """For each module, the paths of the files that it imports, relative to the dashboard's folder."""
    return {
        str(module.relative_to(DASHBOARD)): [
            str((module.parent / path).resolve().relative_to(DASHBOARD.resolve()))
            for path in IMPORT.findall(module.read_text())
        ]
        for module in DASHBOARD.rglob("*.js")
    }


def layer(module: str) -> int:
    return LAYERS.index(str(Path(module).parent))


def test_imports_resolve_and_run_down_the_layers_without_a_circle():
    modules = imports()
    for module, imported in modules.items():
        for path in imported:
            assert path in modules, f"{module} imports {path}, which does not exist"
            beside = layer(module) == layer(path) and LAYERS[layer(module)] in ("widgets", "lib")
            assert beside or layer(module) < layer(path), f"{module} imports {path}"
    tuple(TopologicalSorter(modules).static_order())  # raises if there is a circle


def test_the_pages_load_every_module_and_style_sheet():
    modules = imports()
    files_of_pages = {"index.html", "api.html"}
    html = "".join((DASHBOARD / page).read_text() for page in files_of_pages) + method_page.PAGE
    loaded = set(re.findall(r'(?:href|src)="static/([^"]+)"', html))
    while more := {path for module in loaded for path in modules.get(module, [])} - loaded:
        loaded |= more
    files = {str(path.relative_to(DASHBOARD)) for path in DASHBOARD.rglob("*.*")}
    assert loaded - {"swagger-ui.js", "swagger-ui.css"} == files - files_of_pages
