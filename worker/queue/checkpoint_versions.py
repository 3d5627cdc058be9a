"""Tell the service which content the operator's checkpoints have now.

The service asks before it accepts an audit of a checkpoint, so that a request for a replaced file never gets the
report of the earlier file. This runs beside the audits, in a process of its own that only reads files.
"""

import logging
import os
import time
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from zooaudit.contract import WANTED_VERSIONS_KEY, CheckpointVersion, problem, version_key

from worker.errors import AuditError
from worker.processes import die_with_parent
from worker.zoo import checkpoints

log = logging.getLogger("zooaudit.worker")

POLL_S = 5
"""How long one wait for a question lasts, and the pause after an error of Redis."""
KEEP_S = 60
"""How long an answer stays in Redis: the service no longer waits for it then."""


def answer_service(redis_url: str, location: str | None) -> None:
    """Answer the service's questions until the parent process ends.

    ``location`` is the folder or the bucket that holds the checkpoints.
    """
    die_with_parent(os.getppid())
    redis: Any = Redis.from_url(redis_url, socket_timeout=3 * POLL_S)
    while True:
        try:
            popped = redis.blpop([WANTED_VERSIONS_KEY], timeout=POLL_S)
            if popped is None:
                continue
            _key, question = popped
            token, _, name = question.decode().partition(" ")
            with redis.pipeline() as pipe:
                pipe.rpush(version_key(token), checkpoint_version(name, location).model_dump_json())
                pipe.expire(version_key(token), KEEP_S)
                pipe.execute()
        except RedisError as error:
            log.warning("checkpoint versions: Redis does not answer: %s", error)
            time.sleep(POLL_S)


def checkpoint_version(name: str, location: str | None) -> CheckpointVersion:
    """Return the version of the checkpoint ``name``, or the problem that keeps it from having one."""
    try:
        return CheckpointVersion(version=checkpoints.version(name, location))
    except AuditError as error:
        return CheckpointVersion(error=error.problem)
    except Exception as error:
        log.exception("version of checkpoint %s", name)
        return CheckpointVersion(error=problem("internal-error", f"{type(error).__name__}"))
