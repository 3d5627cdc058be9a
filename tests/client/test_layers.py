"""Imports within the client run one way, from the command line down to the contract, even those for types only."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import zooaudit

LAYERS = (  # each imports only from itself and the ones before it
    *("version", "contract", "views", "results", "errors", "options", "exchange", "flows", "handle"),
    *("client", "async_client", "cli"),
)
ROOT = Path(zooaudit.__file__).parent
MODULES = {
    ".".join(("zooaudit", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def imports(path: Path) -> set[str]:
    """List the modules of zooaudit that a file imports, at its top or within functions."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names if alias.name.split(".")[0] == "zooaudit"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            module = node.module or ""
            if module.split(".")[0] == "zooaudit":
                full_names = {f"{module}.{alias.name}" for alias in node.names}
                modules |= {name if name in MODULES else module for name in full_names}
    return modules


def test_there_are_no_circles():
    graph = {name: imports(path) for name, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES) > 30


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"zooaudit"}))
def test_a_module_imports_only_from_below(module):
    layer = LAYERS.index(module.split(".")[1])
    above = {
        name for name in imports(MODULES[module]) if name == "zooaudit" or LAYERS.index(name.split(".")[1]) > layer
    }
    assert above == set()
