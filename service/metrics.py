"""What a Prometheus server reads: the queue, the audits, the workers and the callbacks, as they are now."""

import asyncio
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
from service.tallies import REDIS_ERRORS, STORE_ERRORS, answers, counted

KEPT_S = 0.5
CONTENT_TYPE = CONTENT_TYPE_LATEST


class ServiceMetrics(Collector):
    """Reads everything anew at each scrape, from what lists and health read anyway; nothing is lost by a restart."""

    def __init__(self, workers: Workers, rows: AuditRows, callbacks: Callbacks) -> None:
        self._workers, self._rows, self._callbacks = workers, rows, callbacks
        self._reading = asyncio.Lock()
        self._text, self._text_until_s = b"", 0.0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    async def text(self) -> bytes:
        """Return all metrics in the text format, at most KEPT_S old.

        One thread at a time reads them, none of those that requests wait for, so that there is
        always an answer."""
        async with self._reading:
            if time.monotonic() >= self._text_until_s:
                self._text = await asyncio.to_thread(generate_latest, self._registry)
                self._text_until_s = time.monotonic() + KEPT_S
        return self._text

    def describe(self) -> list[Metric]:
        """Name nothing in advance, so that registering reads nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            found, up = list(self._read()), 1
        except RedisError:
            found, up = [], 0
        yield GaugeMetricFamily("zooaudit_redis_up", "Whether Redis answers; if not, there are few others.", up)
        yield from found
        yield from _of_this_process()

    def _read(self) -> Iterator[Metric]:
        load = self._workers.load()
        yield GaugeMetricFamily("zooaudit_workers", "Workers that are alive.", load.workers)
        yield GaugeMetricFamily("zooaudit_queue_length", "Audits that wait for a worker.", load.queued)
        yield GaugeMetricFamily("zooaudit_audits_running", "Audits that workers measure.", load.running)
        text = "Speed of the workers that measure now, as their progress says."
        yield GaugeMetricFamily("zooaudit_forward_images_per_second", text, self._workers.images_per_second())
        if ages_s := self._workers.ages_s():
            text = "For how long the worker has run that began first, and the one that began last."
            age = GaugeMetricFamily("zooaudit_worker_age_seconds", text, labels=["worker"])
            age.add_metric(["oldest"], max(ages_s))
            age.add_metric(["youngest"], min(ages_s))
            yield age
        ended = self._workers.counts()
        text = "Audits that have ended, since Redis was last empty."
        ends = CounterMetricFamily("zooaudit_audits_ended", text, labels=["kind"])
        for status in Status:
            if status.final:
                ends.add_metric([status], ended.get(status, 0))
        yield ends
        text = "Forward images of audits that have succeeded, added when they end."
        yield CounterMetricFamily("zooaudit_forward_images", text, ended.get("forward_images", 0))
        text = "How often a worker or its process died while it measured an audit."
        yield CounterMetricFamily("zooaudit_deaths", text, ended.get("deaths", 0))
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


def _of_this_process() -> Iterator[Metric]:
    text = "Failures of the report store that this process has seen."
    yield CounterMetricFamily("zooaudit_store_errors", text, counted(STORE_ERRORS))
    text = "Commands of this process that Redis has not answered or has refused."
    yield CounterMetricFamily("zooaudit_redis_errors", text, counted(REDIS_ERRORS))
    text = "Answers of this process, by the template of the route and by status."
    requests = CounterMetricFamily("zooaudit_http_requests", text, labels=["route", "status"])
    for (route, status), number in answers().items():
        requests.add_metric([route, str(status)], number)
    yield requests
