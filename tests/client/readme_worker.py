"""A real worker process that knows the models of the client's README and reports made-up scores."""

import logging
import sys

from zooaudit.contract import Catalogue

from tests.fakes import entry, report_of
from worker.queue import worker
from worker.settings import WorkerSettings

CATALOGUE = Catalogue(
    entries=(entry("timm/resnet18", "a1_in1k"), entry("timm/resnet50", "a1_in1k")), datasets={"synthetic": None}
)

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    done = worker.work(WorkerSettings(), CATALOGUE, lambda request, _progress, _shards: report_of(request))
    sys.exit(0 if done else 1)
