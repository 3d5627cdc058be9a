"""Reports of a made-up zoo, as many as wanted, for tests and benchmarks of the leaderboard."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from zooaudit.contract import AuditRequest, Report, audit_id

from tests.fakes import report_of

METHOD = {"dataset": "imagenet-val", "num_images": 2000, "translations_px": (1, 2), "rotations_deg": (90, 180)}
FAMILIES = ("resnet", "vision_transformer", "convnext", "efficientnet", "swin_transformer", "regnet", "mobilenetv3")
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def zoo_report(
    model: str,
    at: datetime = START,
    family: str = "resnet",
    parameters: int = 10**7,
    top1: float | None = None,
    scores: dict[str, float | None] | None = None,
    images_sha256: str = "0" * 64,
    version: str | None = None,
    **request: Any,
) -> Report:
    """The report of ``model``, whose audit began ``at``. ``scores`` gives channel scores by "transform.Part"; all
    others are those of ``report_of``."""
    weights = request.get("weights", "pretrained")
    kind, _, origin = weights.partition(":")
    report = report_of(AuditRequest(model=model, **(METHOD | request | {"weights": "pretrained"})), at)
    parts = dict(report.parts)
    for name, value in (scores or {}).items():
        transform, part = name.split(".")
        changed = getattr(parts[part], transform).model_copy(
            update={"channel": value, "channel_interval": value and (max(0.0, value - 0.02), min(1.0, value + 0.02))}
        )
        parts[part] = parts[part].model_copy(update={transform: changed})
    loaded = report.model.weights.model_copy(update={"kind": kind, "origin": origin or "made up", "version": version})
    facts = {"family": family, "parameters": parameters, "imagenet_top1": top1, "weights": loaded}
    request_id = AuditRequest(model=model, checkpoint_version=version, **(METHOD | request))
    return report.model_copy(
        update={
            "id": audit_id(request_id),
            "model": report.model.model_copy(update=facts),
            "method": report.method.model_copy(update={"tolerance": request.get("tolerance")}),
            "images": report.images.model_copy(update={"sha256": images_sha256}),
            "parts": parts,
        }
    )


def zoo_reports(count: int) -> Iterator[Report]:
    """Yield the reports of ``count`` models, of several families, sizes and accuracies. Some accuracies are unknown."""
    chance = random.Random(0)
    for number in range(count):
        family = chance.choices(FAMILIES, weights=range(len(FAMILIES), 0, -1))[0]
        top1 = round(chance.gauss(78, 5), 2)
        scores = {
            f"{transform}.{part}": min(1.0, max(0.0, chance.gauss(level * (1 - 0.12 * depth), 0.08)))
            for transform, level in (("translation", 0.95), ("rotation", 0.6))
            for depth, part in enumerate(("Early", "Middle", "Late", "Pool", "Final"))
        }
        yield zoo_report(
            f"timm/{family}{number}_base_patch16_224.augreg_in1k",
            at=START + timedelta(minutes=number),
            family=family,
            parameters=int(10 ** chance.uniform(6, 8.5)),
            top1=None if number % 10 == 9 else top1,
            scores=scores,
        )
