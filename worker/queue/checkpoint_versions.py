"""Which content the operator's checkpoints have now: the service asks before it accepts an audit of one, so that a file
that was replaced is never answered with the report of the one before.

It runs beside the audits, in a process of its own, and only reads files.
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

PATIENCE_S = 5
"""Between two looks at a Redis that asks nothing, or does not answer."""
KEEP_S = 60
"""An answer that nobody has fetched by then is not wanted any more."""


def serve(redis_url: str, where: str | None) -> None:
    """Answers for the checkpoints in ``where``, a folder or a bucket, until the process that started this one ends."""
    die_with_parent(os.getppid())
    redis: Any = Redis.from_url(redis_url, socket_timeout=3 * PATIENCE_S)
    while True:
        try:
            if (question := redis.blpop([WANTED_VERSIONS_KEY], timeout=PATIENCE_S)) is None:
                continue
            token, _, name = question[1].decode().partition(" ")
            with redis.pipeline() as pipe:
                pipe.rpush(version_key(token), version_of(name, where).model_dump_json())
                pipe.expire(version_key(token), KEEP_S)
                pipe.execute()
        except RedisError as error:
            log.warning("versions: Redis: %s", error)
            time.sleep(PATIENCE_S)


def version_of(name: str, where: str | None) -> CheckpointVersion:
    """The version of that checkpoint, or why it has none."""
    try:
        return CheckpointVersion(version=checkpoints.version(name, where))
    except AuditError as error:
        return CheckpointVersion(error=error.problem)
    except Exception as error:
        log.exception("version of %s", name)
        return CheckpointVersion(error=problem("internal-error", f"{type(error).__name__}"))
