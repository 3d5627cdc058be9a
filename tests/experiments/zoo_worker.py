"""A real worker process that makes up its measurements of the models of the experiment ``zoo``."""

import logging
import sys
from collections.abc import Callable

from zooaudit.contract import AuditRequest, Catalogue, ModelName, Progress, Report

from experiments.zoo import IMAGENET, MODELS
from tests.fakes import entry, report_of
from worker.queue import worker
from worker.settings import WorkerSettings

NAMES = [ModelName.parse(model) for model in MODELS]
CATALOGUE = Catalogue(
    entries=tuple(entry(f"timm/{name.architecture}", str(name.tag)) for name in NAMES), datasets={IMAGENET: 50_000}
)


def run(request: AuditRequest, _on_progress: Callable[[Progress], None], _shards: object) -> Report:
    """Score each model as it is accurate, in every part."""
    report = report_of(request)
    score = MODELS[request.model] / 100
    parts = {}
    for name, part in report.parts.items():
        rows = tuple(
            row.model_copy(update={"channel": score, "layer": score, "top1_agreement": score})
            for row in part.translation.by_transform
        )
        scores = {
            "channel": score,
            "layer": score,
            "channel_interval": (score, score),
            "layer_interval": (score, score),
        }
        translation = part.translation.model_copy(update={**scores, "by_transform": rows})
        rotation = part.rotation.model_copy(update=scores)
        parts[name] = part.model_copy(update={"translation": translation, "rotation": rotation})
    return report.model_copy(update={"parts": parts})


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(0 if worker.work(WorkerSettings(), CATALOGUE, run) else 1)
