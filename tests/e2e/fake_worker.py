"""A real worker process that makes its measurements up. The name of the model says how it behaves.

FAKE_RUNS names a folder with a file for each audit, to which each run of the audit adds the id of its process.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from zooaudit.contract import AuditRequest, Catalogue, Progress, Report, audit_id, report_key

from tests.fakes import entry, report_of
from worker.errors import AuditError, ProcessDied
from worker.queue import worker
from worker.settings import WorkerSettings

WAYS = (
    "quick",
    "slow",
    "mute",
    "dies",
    "dies_once",
    "dies_stored",
    "decoder_dies",
    "fails",
    "fails_later",
    "breaks",
    "exits",
)
CATALOGUE = Catalogue(entries=tuple(entry(f"timm/{way}", "v1") for way in WAYS), datasets={"synthetic": None})


def run(request: AuditRequest, on_progress: Callable[[Progress], None], _shards: object) -> Report:
    """Run an audit in the way that its model's name says."""
    way = request.model.removeprefix("timm/").removesuffix(".v1")
    runs = Path(os.environ["FAKE_RUNS"]) / audit_id(request)
    with runs.open("a") as lines:
        lines.write(f"{os.getpid()}\n")
    on_progress(Progress(phase="loading"))
    if way == "dies" or (way == "dies_once" and len(runs.read_text().split()) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "dies_stored":
        stored = Path(os.environ["ZOOAUDIT_STORE"]) / report_key(audit_id(request))
        stored.write_text(report_of(request).model_dump_json())
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "decoder_dies" and len(runs.read_text().split()) == 1:
        raise ProcessDied("A process that decodes images was killed.")
    if way == "fails" or (way == "fails_later" and len(runs.read_text().split()) > 1):
        raise AuditError("hub-unreachable", "Ask for untrained weights.")
    if way == "breaks":
        raise ZeroDivisionError("a bug <b>")
    if way == "exits":
        sys.exit("a library gave up")
    if way in ("mute", "fails_later"):
        time.sleep(request.num_images / 10)
    if way == "slow":
        for done in range(request.num_images):  # an image takes a tenth of a second
            on_progress(Progress(phase="measuring", done=done, total=request.num_images))
            time.sleep(0.1)
    return report_of(request)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(0 if worker.work(WorkerSettings(), CATALOGUE, run) else 1)
