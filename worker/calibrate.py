"""Audit networks whose scores are known by construction: ``python -m worker.calibrate [--quick]``.

Each goes through the real pipeline like any other model, from image to report, and its report must agree with theory.
The command prints a table and ends with status 1 on any deviation. A worker checks the quick networks when it starts
and takes no audits if one fails.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from zooaudit.contract import WARPS, AngleRow, AuditRequest, Block, MirrorRow, Report, ShiftRow, WarpRow

from worker.audit import run
from worker.known import NETWORKS, SIZE, Known
from worker.measure.warps import Warp
from worker.zoo.own import from_module

__all__ = ["NETWORKS", "Known", "audit", "check", "deviations", "main"]

IMAGES = 8


def audit(known: Known, device: str | None = None) -> Report:
    """Audit a known network through the whole pipeline."""
    torch.manual_seed(0)
    # A signal reaches the network as it is, black as 0 and white as 1.
    levels: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)} if known.signal else {}
    model = from_module(known.build(), known.name, SIZE, known.blocks, layout="NCHW", **levels)
    request = AuditRequest(
        model=model.name,
        weights=f"checkpoint:{known.name}",
        dataset="signal" if known.signal else "synthetic",
        num_images=1 if known.signal else IMAGES,
        **known.request,
    )
    measured = partial(run, request, model=model, decode_processes=0, device=device)
    if not known.signal:
        return measured()
    with TemporaryDirectory() as folder:
        _draw(known.signal, SIZE + max(request.translations_px), Path(folder, "signal.png"))
        return measured(datasets={"signal": Path(folder)})


def _draw(signal: Sequence[int], side: int, path: Path) -> None:
    """Write a square image, each row of which repeats ``signal``."""
    row = np.resize(np.array(signal, np.uint8) * 255, side)
    Image.fromarray(np.tile(row, (side, 1))).save(path)


def deviations(known: Known, report: Report) -> list[str]:
    """List every place where ``report`` disagrees with theory, one sentence each."""
    wrong = []
    checked = 0
    for block in report.blocks:
        if block.name not in known.blocks or block.part == "Pool":
            continue
        if block.name in known.dead and block.dead_channels != known.dead[block.name]:
            wrong.append(f"{block.name} has {block.dead_channels} dead channels, not {known.dead[block.name]}")
        for amount, row in _rows(block):
            checked += 1
            expected = known.expect(block.name, amount)
            if expected is None:
                fine = row.channel is None and row.layer is None and bool(row.reason)
            else:
                fine = all(
                    value is not None and low <= value <= high
                    for value, (low, high) in zip((row.channel, row.layer), expected, strict=True)
                )
            if not fine:
                wrong.append(f"{block.name} at {amount}: channel {row.channel}, layer {row.layer}, not {expected}")
    return wrong if checked else [*wrong, "the report has no scores to check"]


def _rows(block: Block) -> list[tuple[int | str | Warp, ShiftRow | AngleRow | MirrorRow | WarpRow]]:
    """List the rows of a block, each with its shift in px, rotation in degrees, axis of reflection, or warp."""
    warps = [(kind, score) for kind, name in WARPS.items() if (score := getattr(block, name))]
    return [
        *((row.shift_px, row) for row in block.translation.by_transform),
        *((row.angle_deg, row) for row in block.rotation.by_transform),
        *((row.axis, row) for row in (block.reflection.by_transform if block.reflection else ())),
        *((Warp(kind, row.amount), row) for kind, score in warps for row in score.by_transform),
    ]


def check(device: str | None = None) -> None:
    """Audit the quick networks; exit with status 1 and a message on standard error if a score is wrong."""
    for known in NETWORKS:
        if known.quick and (wrong := deviations(known, audit(known, device))):
            sys.exit("\n".join(f"{known.name}: {item}" for item in wrong))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m worker.calibrate", description="Audit networks of known answers.")
    parser.add_argument("--quick", action="store_true", help="only those that a worker runs when it starts")
    parser.add_argument("--device", help="cuda, cuda:1 or cpu (default: CUDA when there is one)")
    options = parser.parse_args(arguments)
    failed = 0
    print(f"{'network':24} {'block':7} {'channel':>17} {'layer':>17}")
    for known in NETWORKS:
        if options.quick and not known.quick:
            continue
        report = audit(known, options.device)
        for block in report.blocks:
            if block.part not in ("Pool", "Final"):
                rows = [row for _, row in _rows(block)]
                scores = _range([row.channel for row in rows]), _range([row.layer for row in rows])
                print(f"{known.name:24} {block.name:7} {scores[0]} {scores[1]}")
        wrong = deviations(known, report)
        failed += len(wrong)
        for item in wrong:
            print(f"  WRONG: {item}")
    print(f"{failed} deviations" if failed else "all as theory says")
    return 1 if failed else 0


def _range(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{min(known):8.6f}-{max(known):8.6f}" if known else f"{'null':>17}"


if __name__ == "__main__":
    sys.exit(main())
