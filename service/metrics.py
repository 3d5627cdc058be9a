"""What a Prometheus server reads: the queue, the audits, the workers and the callbacks, as they are now."""

import time
from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry
from redis.exceptions import RedisError
from zooaudit.contract import Status

from service.audit_rows import AuditRows
from service.callbacks import Callbacks
from service.queue import Workers

CONTENT_TYPE = CONTENT_TYPE_LATEST


class ServiceMetrics(Collector):
    """Reads everything anew at each scrape, from what lists and health read anyway; nothing is lost by a restart."""

    def __init__(self, workers: Workers, rows: AuditRows, callbacks: Callbacks) -> None:
        self._workers, self._rows, self._callbacks = workers, rows, callbacks
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Name nothing in advance, so that registering reads nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            found, up = list(self._read()), 1
        except RedisError:
            found, up = [], 0
        yield GaugeMetricFamily("zooaudit_redis_up", "Whether Redis answers; without it there are no others.", up)
        yield from found

    def _read(self) -> Iterator[Metric]:
        load = self._workers.load()
        yield GaugeMetricFamily("zooaudit_workers", "Workers that are alive.", load.workers)
        yield GaugeMetricFamily("zooaudit_queue_length", "Audits that wait for a worker.", load.queued)
        yield GaugeMetricFamily("zooaudit_audits_running", "Audits that workers measure.", load.running)
        rows = self._rows.by_id().values()
        counts = Counter(row.status for row in rows)
        audits = GaugeMetricFamily("zooaudit_audits", "Audits that are known, by status.", labels=["status"])
        for status in Status:
            audits.add_metric([status], counts[status])
        yield audits
        oldest_s = min((row.created_s for row in rows if row.status is Status.QUEUED), default=None)
        wait_s = 0.0 if oldest_s is None else max(0.0, time.time() - oldest_s)
        text = "How long the oldest audit that waits has been accepted."
        yield GaugeMetricFamily("zooaudit_queue_oldest_wait_seconds", text, wait_s)
        text = "Callbacks still to be made, also those of audits that have not ended."
        yield GaugeMetricFamily("zooaudit_callbacks_waiting", text, self._callbacks.waiting())
        made = CounterMetricFamily("zooaudit_callbacks", "Attempts at callbacks, by outcome.", labels=["outcome"])
        for outcome, count in self._callbacks.counts().items():
            made.add_metric([outcome], count)
        yield made
