"""Names in Redis and in the report store that the service and the workers share."""


def report_key(identifier: str) -> str:
    """Return the key of an audit's report in the report store."""
    return f"reports/{identifier}.json"


def imports_prefix(identifier: str) -> str:
    """Return the prefix of the keys in the report store under which the notes on imports of an audit's report are."""
    return f"imports/{identifier}"


def import_key(identifier: str, seal: str) -> str:
    """Return the key in the report store of the note that an audit's report, the one with this seal, was imported: an
    ``Import``."""
    return f"{imports_prefix(identifier)}/{seal}.json"


def shards_prefix(identifier: str, fingerprint: str = "") -> str:
    """Return the prefix of the keys in the report store under which the shards of an audit are, until it has succeeded:
    of one plan, or of all."""
    return f"shards/{identifier}/{fingerprint}".rstrip("/")


def kept_report_key(identifier: str) -> str:
    """Return the key in Redis of a finished report that could not be stored yet."""
    return f"zooaudit:report:{identifier}"


def board_key(identifier: str) -> str:
    """Return the key of the Redis hash with the plan of a running audit and what has been taken of it: a ``Board``."""
    return f"zooaudit:board:{identifier}"


def members_key(identifier: str) -> str:
    """Return the key of the Redis hash of the workers that take part in an audit: a ``MemberRecord`` by token."""
    return f"zooaudit:members:{identifier}"


def unfit_key(identifier: str) -> str:
    """Return the key of the Redis set of the workers that could not help with an audit."""
    return f"zooaudit:unfit:{identifier}"


QUEUE = "audits"
"""The only queue: the service adds jobs, the workers take them."""
JOB = "worker.queue.job.audit"
"""The only function that a job may name; its only argument is an AuditRequest as JSON."""
HELP_JOB = "worker.queue.job.help_audit"
"""The function of a job by which an idle worker helps with a running audit. It is never in the queue; its arguments are
the audit's id, and its AuditRequest as JSON."""
HELP_PREFIX = "help-"
"""What the ids of such jobs begin with."""
OPEN_KEY = "zooaudit:open"
"""Redis sorted set: the ids of running audits that idle workers can help with, each with the time of its acceptance."""
IDLE_KEY = "zooaudit:idle"
"""Redis sorted set: the names of workers that have nothing to do. The score of each is the time in seconds at which it
lapses, unless the worker renews it."""
ATTEMPTS = 3
"""How often workers may die on what comes before and after the shards of an audit, before the audit fails."""
FORMER_JOBS = ("worker.jobs.audit",)
"""Earlier names of JOB, so that jobs queued by an older service still run."""
CATALOGUE_KEY = "zooaudit:catalogue"
"""Redis hash: ``json`` holds the Catalogue that a worker published last, ``version`` its digest."""
DEVICE_FIELD = "device"
"""Field of the Redis hash in which the queue notes a worker: the device on which it measures."""
DEPTHS_KEY = "zooaudit:depths"
"""Redis hash: the ModelDepth, as JSON, of each full name that a worker has inspected; ``versions`` names the software
that the worker ran."""
WANTED_DEPTHS_KEY = "zooaudit:depths:wanted"
"""Redis sorted set: the full names whose depth somebody asked for, each with the time of asking in seconds."""
CHECKPOINT_QUESTIONS_KEY = "zooaudit:checkpoints:questions"
"""Redis list: what the service asks about operators' checkpoints, each a CheckpointQuestion as JSON."""
CHECKPOINT_WORK_KEY = "zooaudit:checkpoints:work"
"""Redis sorted set: the names of the checkpoints at which workers look just now to answer questions. The score of each
is the time in seconds at which it lapses, unless the worker renews it."""
TROUBLES_KEY = "zooaudit:troubles"
"""Redis sorted set: sentences about what a worker cannot do now, for the service's health. The score of each sentence
is the time in seconds at which it lapses, unless the worker renews it."""
ENDS_KEY = "zooaudit:ends"
"""Redis hash of counters: how many audits have ``succeeded``, ``failed`` and been ``canceled`` by this service and its
workers, how many ``forward_images`` those that succeeded took, and how often the measuring of an audit ended by a
death, in ``deaths``. Each is written in the transaction of what it counts, but for ``canceled``, which follows it."""
INDEX_KEY = "zooaudit:audits"
"""Redis sorted set: the ids of all audits, each with the time of its acceptance in seconds."""


def answer_key(token: str) -> str:
    """Return the key of the Redis list through which a worker answers the question ``token``, with a CheckpointAnswer
    as JSON."""
    return f"zooaudit:checkpoints:answers:{token}"


def state_key(identifier: str) -> str:
    """Return the key of the Redis hash with those facts of an audit that the queue's own job does not keep.

    ``progress`` is a Progress and ``error`` a Problem, both as JSON; ``deaths`` counts the workers that died on the
    audit. ``outcome`` is written once: ``canceled SECONDS`` by the service or ``storing`` by the worker, whichever
    comes first, so that canceling never undoes a report.

    ``place`` is where the audit waits in the queue (see ``contract.places``), ``priority`` that of its request, and
    ``estimated_s`` the seconds that a worker takes, by what was known when it was accepted; absent if that was nothing.

    ``imported`` is an Import as JSON, if the audit's report was measured elsewhere.

    ``attempt`` is the token of the only attempt that may write about the audit; it is empty while there is none, and
    absent if Redis has been emptied since the audit was accepted.
    """
    return f"zooaudit:audit:{identifier}"
