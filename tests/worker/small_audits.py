"""Audits of a small model on few images, for tests of whole audits."""

import os
from typing import Any

from zooaudit.contract import AuditRequest, Report

from worker.audit import run
from worker.images.canvas_cache import CanvasCache
from worker.settings import canvases_folder

SMALL: dict[str, Any] = {
    "model": "timm/test_resnet.r160_in1k",
    "weights": "untrained",
    "dataset": "synthetic",
    "num_images": 24,
    "translations_px": [5, 16],
    "rotations_deg": [90],
}


def audit(request: dict[str, Any] | None = None, **how: Any) -> Report:
    """Run an audit. Painting a synthetic image takes longer than measuring it, so all tests share the painted ones."""
    cache = CanvasCache(canvases_folder(os.environ), gib=4)
    return run(AuditRequest(**{**SMALL, **(request or {})}), **{"cache": cache, **how})


def intervals(report: Report) -> list[tuple[float, float, float]]:
    """(low, score, high) of every score that has an interval."""
    found = []
    for level in (*report.parts.values(), *report.blocks):
        for kind in (level.translation, level.rotation):
            for value, interval in ((kind.channel, kind.channel_interval), (kind.layer, kind.layer_interval)):
                if interval is not None:
                    assert value is not None
                    found.append((interval[0], value, interval[1]))
    return found
