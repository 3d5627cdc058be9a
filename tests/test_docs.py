"""The README names every setting and every endpoint, and no setting that does not exist."""

import re
from pathlib import Path

import pytest

from service.app import create_app
from service.settings import ServiceSettings
from worker.settings import WorkerSettings

README = (Path(__file__).parent.parent / "README.md").read_text()
FIELDS = ServiceSettings.model_fields | WorkerSettings.model_fields


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_in_the_readme_and_says_what_it_is(name):
    assert FIELDS[name].description
    assert f"`ZOOAUDIT_{name.upper()}`" in README


def test_the_readme_names_no_setting_that_does_not_exist():
    client = {"URL", "API_KEY"}  # read by the command line, see zooaudit.cli
    named = set(re.findall(r"ZOOAUDIT_([A-Z_]+)", README))
    assert named - client <= {name.upper() for name in FIELDS}


def test_settings_of_the_same_name_mean_the_same():
    shared = ServiceSettings.model_fields.keys() & WorkerSettings.model_fields.keys()
    assert shared == {"redis_url", "store"}
    for name in shared:
        assert ServiceSettings.model_fields[name].default == WorkerSettings.model_fields[name].default


def test_every_endpoint_is_in_the_readme(tmp_path):
    paths = create_app(ServiceSettings(store=str(tmp_path))).openapi()["paths"]
    endpoints = [
        f"{method.upper()} {path.replace('{identifier}', '{id}')}" for path, item in paths.items() for method in item
    ]
    assert len(endpoints) == 11
    assert [endpoint for endpoint in endpoints if f"`{endpoint}" not in README] == []
