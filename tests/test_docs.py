"""The documents list every setting, endpoint and type of problem, and none that does not exist."""

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from zooaudit.contract import PROBLEM_TYPES, Shard, Sharing
from zooaudit.contract.settings import SETTINGS

from service.app import create_app
from service.settings import ServiceSettings
from worker.settings import WorkerSettings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PROBLEMS = (ROOT / "docs" / "problems.md").read_text()
FIELDS = ServiceSettings.model_fields | WorkerSettings.model_fields


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_in_the_readme_and_says_what_it_is(name):
    assert FIELDS[name].description
    assert f"`ZOOAUDIT_{name.upper()}`" in README


def test_the_readme_names_no_setting_that_does_not_exist():
    client = {"URL", "API_KEY"}  # read by the command line, see zooaudit.cli
    named = set(re.findall(r"ZOOAUDIT_([A-Z_]+)", README))
    assert named - client <= {name.upper() for name in FIELDS}


def test_a_setting_is_known_by_name_to_service_and_worker_alike():
    assert sorted(SETTINGS) == sorted(FIELDS)


def test_settings_of_the_same_name_mean_the_same():
    shared = ServiceSettings.model_fields.keys() & WorkerSettings.model_fields.keys()
    assert shared == {"redis_url", "store", "log_format"}
    for name in shared:
        assert ServiceSettings.model_fields[name].default == WorkerSettings.model_fields[name].default


def test_every_endpoint_is_in_the_readme(tmp_path):
    paths = create_app(ServiceSettings(store=str(tmp_path))).openapi()["paths"]
    endpoints = [
        f"{method.upper()} {path.replace('{identifier}', '{id}')}" for path, item in paths.items() for method in item
    ]
    assert len(endpoints) >= 14
    assert [endpoint for endpoint in endpoints if f"`{endpoint}" not in README] == []


def test_every_field_of_a_sharing_is_in_the_readme():
    fields = Sharing.model_fields | Shard.model_fields
    assert [name for name in fields if f"`{name}`" not in README.partition("Its `sharing`")[2]] == []


def test_the_page_of_problems_lists_those_of_the_registry():
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| ([^|]+) \| ([^|]+) \|$", PROBLEMS, re.MULTILINE)
    assert [(slug, int(status), title) for slug, status, title, _ in rows] == [
        (slug, registered.status, registered.title) for slug, registered in PROBLEM_TYPES.items()
    ]
    assert all(sentence.endswith(".") for *_, sentence in rows)


def test_every_slug_that_is_used_is_registered_and_the_other_way_round():
    used = {slug for package in ("service", "worker", "clients") for slug in slugs_in(ROOT / package)}
    from_http = {HTTPStatus(status).phrase.lower().replace(" ", "-") for status in (404, 405)}  # see service.errors
    assert used | from_http == PROBLEM_TYPES.keys()


def slugs_in(folder: Path) -> Iterator[str]:
    """The slugs given to problem(), refused() and AuditError(), and in each file to its own functions of a ``slug``."""
    for path in folder.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        takers = {"problem", "refused", "AuditError"}
        takers |= {
            node.name
            for node in nodes
            if isinstance(node, ast.FunctionDef) and "slug" in [argument.arg for argument in node.args.args]
        }
        for node in nodes:
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "attr", getattr(node.func, "id", None))
                slug = node.args[0]
                if name in takers and isinstance(slug, ast.Constant):
                    yield slug.value
