"""The examples of the client's README run as they are written."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from zooaudit.cli import make_parser

from service import stack

README = (Path(__file__).parents[2] / "clients/python/README.md").read_text()
WORKER = (sys.executable, "-m", "tests.client.readme_worker")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with stack.running(
        tmp_path_factory.mktemp("stack"), env={"ZOOAUDIT_API_KEYS": ""}, worker_command=WORKER
    ) as running:
        yield running


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


@pytest.mark.parametrize(
    ("example", "output"), list(zip(blocks("python"), ("Early", "0.8 0.95", "Spearman"), strict=True))
)
def test_python(service, tmp_path, example, output):
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        env={**os.environ, "ZOOAUDIT_URL": service.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert output in ran.stdout


def test_shell():
    lines = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]
    commands = [words[1:] for words in lines if words and words[0] == "zooaudit"]
    assert len(commands) == 12
    for words in commands:
        make_parser().parse_args(words)
