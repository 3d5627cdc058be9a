"""Where the service and the workers find each other: names in Redis and in the report store."""


def report_key(identifier: str) -> str:
    """Where the report store keeps an audit's report."""
    return f"reports/{identifier}.json"


QUEUE = "audits"
"""The one queue, between the service, which adds jobs, and the workers, which take them."""
JOB = "worker.queue.job.audit"
"""The one function that a job may name; its one argument is an AuditRequest as JSON."""
FORMER_JOBS = ("worker.jobs.audit",)
"""Names that JOB had before: jobs that an older service has queued still run."""
CATALOGUE_KEY = "zooaudit:catalogue"
"""Redis hash: ``json`` is the Catalogue that a worker published last, ``version`` its digest."""
DEPTHS_KEY = "zooaudit:depths"
"""Redis hash: the ModelDepth of each full name that a worker has looked at, as JSON, and under "versions" what with."""

WANTED_DEPTHS_KEY = "zooaudit:depths:wanted"
"""Redis sorted set: the full names whose depth is asked for, by the time they were, in seconds."""

WANTED_VERSIONS_KEY = "zooaudit:versions:wanted"
"""Redis list: the checkpoints whose version is asked for, as ``TOKEN NAME``."""

INDEX_KEY = "zooaudit:audits"
"""Redis sorted set: the ids of all audits by the time they were accepted, in seconds."""


def version_key(token: str) -> str:
    """Redis list: the one CheckpointVersion, as JSON, that answers the question with this token."""
    return f"zooaudit:versions:{token}"


def state_key(identifier: str) -> str:
    """Redis hash: what the queue's own job does not keep of an audit. ``progress`` is a Progress and ``error`` a
    Problem, as JSON; ``deaths`` counts the workers that died on it; ``outcome`` is written once, by who comes
    first: ``canceled SECONDS`` by the service or ``storing`` by the worker, so that a cancel never undoes a report."""
    return f"zooaudit:audit:{identifier}"
