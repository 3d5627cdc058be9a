"""Imports go one way: service, worker and client share the contract and nothing else."""

import subprocess
import sys

import pytest

CASES = {
    "service.app": ["torch", "torchvision", "timm", "worker", "plotly", "scipy", "numpy", "zooaudit.client"],
    "service.stack": ["torch", "torchvision", "timm", "worker"],
    "worker.audit": ["fastapi", "starlette", "rq", "redis", "httpx", "obstore", "pydantic_settings", "service"],
    "worker.cli": ["fastapi", "starlette", "rq", "redis", "httpx", "obstore", "service"],
    "worker.queue.worker": ["fastapi", "starlette", "httpx", "service", "torch"],
    "worker.__main__": ["torch", "torchvision", "timm", "rq", "redis", "service"],
    "zooaudit": ["fastapi", "torch", "rq", "redis", "numpy", "httpx", "service", "worker"],
    "zooaudit.contract": ["fastapi", "torch", "rq", "redis", "numpy", "httpx", "service", "worker"],
    "zooaudit.views.figures": ["fastapi", "torch", "rq", "redis", "numpy", "plotly", "httpx", "service", "worker"],
    "zooaudit.client": ["fastapi", "torch", "rq", "redis", "numpy", "pandas", "rich", "service", "worker"],
    "zooaudit.async_client": ["fastapi", "torch", "rq", "redis", "numpy", "pandas", "rich", "service", "worker"],
    "zooaudit.views.tables": [
        "fastapi",
        "torch",
        "rq",
        "redis",
        "numpy",
        "pandas",
        "rich",
        "httpx",
        "service",
        "worker",
    ],
    "zooaudit.cli": [
        "fastapi",
        "torch",
        "rq",
        "redis",
        "numpy",
        "pandas",
        "rich",
        "httpx",
        "argcomplete",
        "service",
        "worker",
    ],
}


@pytest.mark.parametrize("module", CASES)
def test_a_module_needs_nothing_from_across_the_border(module):
    blocked = CASES[module]
    # None in sys.modules makes an import of that name fail.
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); import {module}"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert imported.returncode == 0, imported.stderr


def test_rq_is_known_to_one_place_on_each_side():
    from pathlib import Path

    root = Path(__file__).parent.parent
    users = {
        str(path.parent.relative_to(root))
        for package in ("service", "worker", "clients")
        for path in (root / package).rglob("*.py")
        for line in path.read_text().splitlines()
        if line.strip().startswith(("import rq", "from rq"))
    }
    assert users == {"service/queue", "worker/queue"}
