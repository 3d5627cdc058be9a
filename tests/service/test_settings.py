"""The service's settings from the environment, and those that cannot work on this machine."""

import os
import socket
import subprocess
import sys

import pytest
from pydantic import ValidationError

from service.settings import ServiceSettings, faults_here


def test_an_empty_variable_is_unset(monkeypatch):
    for name in ServiceSettings.model_fields:
        monkeypatch.setenv(f"ZOOAUDIT_{name.upper()}", "")
    assert ServiceSettings().model_dump() == {
        name: field.default for name, field in ServiceSettings.model_fields.items()
    }


def test_a_host_may_have_brackets(monkeypatch):
    monkeypatch.setenv("ZOOAUDIT_HOST", "[::1]")
    assert ServiceSettings().host == "::1"


@pytest.mark.parametrize("keys", [",", " , "])
def test_keys_that_are_none_are_refused(monkeypatch, keys):
    monkeypatch.setenv("ZOOAUDIT_API_KEYS", keys)
    with pytest.raises(ValidationError, match="it holds no key"):
        ServiceSettings()


def test_settings_that_can_work_have_no_faults(tmp_path):
    settings = ServiceSettings(store=str(tmp_path / "new"), host="localhost", port=0)
    assert list(faults_here(settings)) == []
    assert list(faults_here(ServiceSettings(store="s3://bucket", port=0))) == []


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"store": "{folder}/file"}, "ZOOAUDIT_STORE: {folder}/file cannot be a folder"),
        ({"host": "0.0.0.0"}, "ZOOAUDIT_HOST: Without ZOOAUDIT_API_KEYS the service listens on loopback only"),
        ({"host": "nowhere.invalid", "api_keys": "sesame"}, "ZOOAUDIT_HOST: nowhere.invalid is no address"),
        ({"host": "192.0.2.1", "api_keys": "sesame"}, "ZOOAUDIT_HOST: cannot listen on port 0 of 192.0.2.1: "),
    ],
)
def test_what_cannot_work_here_is_named(tmp_path, values, told):
    (tmp_path / "file").touch()
    given = {"store": str(tmp_path), "port": 0} | values
    given["store"] = given["store"].format(folder=tmp_path)
    (line,) = faults_here(ServiceSettings(**given))
    assert line.startswith(told.format(folder=tmp_path))


def test_the_service_tells_wrong_settings_in_a_line_each(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        env = {**os.environ, "ZOOAUDIT_PORT": str(port), "ZOOAUDIT_STORE": str(tmp_path), "ZOOAUDIT_API_KEYS": ""}
        in_use = run(env)
    assert in_use == [
        f"ZOOAUDIT_PORT: another program listens on port {port} of 127.0.0.1 already; stop it, or choose another port"
    ]
    two = run({**os.environ, "ZOOAUDIT_PORT": "many", "ZOOAUDIT_REDIS_URL": "redis://:hid/den@redis"})
    assert [line.split(":")[0] for line in two] == ["ZOOAUDIT_REDIS_URL", "ZOOAUDIT_PORT"]
    assert "hid" not in "".join(two)


def run(env: dict[str, str]) -> list[str]:
    """Run the service, which must refuse to run, and return its lines on standard error."""
    command = [sys.executable, "-m", "service"]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert ran.stdout == ""
    return ran.stderr.splitlines()
