"""How long a comparison of 200 audits and its figures take, when reports are first read and when they are in memory.

    python -m benchmarks.comparison [--audits 200] [--blocks 33]

The reports lie in a folder. They are made up, each of a model with 33 blocks (``--blocks``) under all 35 transforms.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zooaudit.contract import PARTS, TRANSFORMS, AuditRequest, Report, report_key
from zooaudit.views import figures

from service.comparison import compare
from service.reports import ReportStore, open_store
from tests.fakes import report_of


def made_up(index: int, blocks: int) -> Report:
    """Make up a report whose scores have as many digits as real ones."""
    rng = random.Random(index)
    report = report_of(AuditRequest(model=f"timm/model{index}", num_images=2000))
    body = report.model_dump(mode="json")
    body["model"]["imagenet_top1"] = rng.uniform(60, 90)
    body["blocks"] = [{**body["blocks"][n % 5], "name": f"layer{n}"} for n in range(blocks)]

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            scored = {key: rng.random() for key in ("channel", "layer") if key in value}
            return {key: fill(item) for key, item in value.items()} | scored
        return [fill(item) for item in value] if isinstance(value, list) else value

    made = body | {key: fill(body[key]) for key in ("parts", "blocks")}
    return Report.model_validate_json(json.dumps(made | {"deviations": _deviations(rng)}))


def _deviations(rng: random.Random) -> dict[str, Any]:
    by_group = [rng.gauss(0, 1e-4) for _ in range(32)]
    scores = dict.fromkeys(("channel", "layer", "layer_held_out"), by_group)
    return {"images": [62, 63] * 16, "parts": dict.fromkeys(PARTS, dict.fromkeys(TRANSFORMS, scores))}


def timed(what: str, work: Callable[[], object]) -> None:
    started = time.perf_counter()
    work()
    print(f"{what:<28} {time.perf_counter() - started:7.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a comparison and its figures.")
    parser.add_argument("--audits", type=int, default=200)
    parser.add_argument("--blocks", type=int, default=33)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reports = [made_up(index, options.blocks) for index in range(options.audits)]
        for report in reports:
            path = Path(folder) / report_key(report.id)
            path.parent.mkdir(exist_ok=True)
            path.write_text(report.model_dump_json(), "utf-8")
        print(f"{options.audits} reports of {path.stat().st_size / 1e3:.0f} kB")
        store = ReportStore(open_store(folder))
        names = [report.id for report in reports]
        timed("import of scipy.stats", lambda: __import__("scipy.stats"))

        def answer() -> None:
            compare([store.brief(name) for name in names]).model_dump_json()

        def draw() -> None:
            reports = [store.brief(name) for name in names]
            drawn = [figures.of(name, reports) for name in ("parts", "shifts", "depth")]
            json.dumps([*drawn, figures.accuracy(compare(reports))])

        timed("comparison, cold", answer)
        timed("comparison, warm", answer)
        timed("its figures, warm", draw)


if __name__ == "__main__":
    main()
