"""A user's ``mypy --strict`` accepts right uses of the library and finds wrong ones."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import asyncio
from typing import Any, assert_type

from zooaudit import AsyncAuditClient, Audit, AuditClient, AuditFailed, AuditHandle
from zooaudit import Comparison, Cost, ModelDetail, Report, figures
from zooaudit.contract import WarpScore, Warps


def blocking() -> float | None:
    with AuditClient("http://127.0.0.1:8000", api_key="key") as client:
        assert_type(client.cost("timm/resnet18", num_images=64), Cost)
        handle = assert_type(client.audit("timm/resnet18", num_images=64, translations_px=range(1, 9)), AuditHandle)
        report = assert_type(handle.wait(timeout=60, progress=True), Report)
        assert_type(client.wait(handle.id, on_progress=print), Audit)
        assert_type(client.compare([handle, report, "0" * 32, handle.status()], top1={"resnet18": 71.5}), Comparison)
        assert_type(client.model("timm/resnet18"), ModelDetail)
        client.audit("timm/resnet18", warps={"rotation": [15, 22.5], "translation": [0.5]}, deformation={"cutoff": 5})
        client.audit("timm/resnet18", warps=[Warps(kind="shear", amounts=(0.1,))], deformation={}, local=True)
        assert_type(report.parts["Late"].warp_rotation, WarpScore | None)
        report.plot("warps").show()
        report.plot("depth", report).show()
        report.to_dataframe().to_csv("scores.csv")
        assert_type(figures.parts([report])["data"], Any)
        assert_type(AuditFailed(handle.status()).audit, Audit)
        assert_type([audit.id for audit in client.audits(status="succeeded")], list[str])
        return report.parts["Early"].translation.channel


async def awaiting() -> None:
    async with AsyncAuditClient() as client:
        report = assert_type(await (await client.audit("timm/resnet18", num_images=64)).wait(progress=True), Report)
        assert_type((await client.cost("timm/resnet18")).seconds, float | None)
        assert_type(await client.compare([report]), Comparison)
        assert_type([audit async for audit in client.audits()], list[Audit])


asyncio.run(awaiting())
"""
WRONG = """
from zooaudit import AuditClient

client = AuditClient()
client.audit("timm/resnet18", images=64)
client.audit("timm/resnet18", num_images="64")
client.compare([1])
client.cost("timm/resnet18", images=64)
client.report("0").parts["Early"].translation.chanel
client.report("0").parts["early"]
client.audit("timm/resnet18", warps={"twist": [1]})
client.audit("timm/resnet18", local="yes")
"""


def check(script: str, folder: Path) -> list[str]:
    file = folder / "script.py"
    file.write_text(script)
    root = Path(__file__).parents[2]
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--cache-dir",
        root / ".mypy_cache/user",
        file,
    ]
    source = {"MYPYPATH": str(root / "clients/python/src"), "PATH": ""}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, env=source, cwd=folder)
    assert ran.returncode in (0, 1), ran.stderr
    # A user of an installed library does not see what mypy says of the library's own files.
    return [line for line in ran.stdout.splitlines() if line.startswith("script.py:") and "error:" in line]


def test_right_use_passes_and_each_mistake_is_found(tmp_path):
    assert check(SCRIPT, tmp_path) == []
    wrong = check(WRONG, tmp_path)
    assert [int(line.split(":")[1]) for line in wrong] == [5, 6, 7, 8, 9, 10, 11, 12], wrong
