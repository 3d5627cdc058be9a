"""How an attempt at an audit ends: the audit has succeeded or failed, was canceled, or goes back into the queue."""

import logging
import os
import signal
from typing import Any

from rq.job import JobStatus
from zooaudit.contract import ATTEMPTS, ENDS_KEY, MOVE_TO_PLACE, Progress, problem, state_key

from worker.queue.attempt import Attempt, State
from worker.queue.audit_board import AuditBoard
from worker.queue.job import DECODING_DIED

log = logging.getLogger("zooaudit.worker")

KEEP_ALWAYS = -1


def succeed(attempt: Attempt) -> None:
    """Note that the audit has succeeded. Raises Superseded when the attempt does not count any more."""
    job = attempt.job
    if attempt.helps:
        end_help(attempt, died=False)
        return

    def write(pipe: Any, state: State) -> None:
        pipe.hincrby(ENDS_KEY, "succeeded", 1)
        if b"progress" in state:
            pipe.hincrby(ENDS_KEY, "forward_images", Progress.model_validate_json(state[b"progress"]).done)
        name = attempt.execution.worker_name
        job._handle_success(KEEP_ALWAYS, pipe, name, attempt.token, job.started_at, job.ended_at)
        attempt.close(pipe)

    attempt.change(write)


def end_early(
    attempt: Attempt,
    *,
    death: str | None,
    stopped: bool = False,
    handed_back: bool = False,
    exc_string: str = "",
    only_if_lapsed: bool = False,
) -> None:
    """End an attempt that has not succeeded: put its job back into the queue, or end the audit.

    ``death`` is how its process died, if it did; ``stopped`` means that the audit was canceled, ``handed_back`` that
    its worker stops. Raises Superseded when the attempt does not count any more, or with ``only_if_lapsed`` when it
    still gives signs of life.
    """
    job = attempt.job
    if attempt.helps:
        end_help(attempt, died=bool(death), only_if_lapsed=only_if_lapsed)
        return
    attempt.insist(only_if_lapsed=only_if_lapsed)
    board = AuditBoard(attempt, job.id)
    was_measuring = board.give_back(died=bool(death))
    retries_left = job.retries_left
    if death and was_measuring:
        retries_left = ATTEMPTS  # the board counts the deaths on a shard
    retry = bool(retries_left) and not stopped

    def write(pipe: Any, state: State) -> None:
        job.retries_left = retries_left  # RQ counts it down at each call
        if death:
            pipe.hincrby(ENDS_KEY, "deaths", 1)
            _add_death(pipe, job.id, int(state.get(b"deaths", 0)) + 1, death)
        if handed_back:
            attempt.queue._enqueue_job(job, pipeline=pipe)
            _put_in_place(pipe, attempt)
        elif retry:
            job.retry(attempt.queue, pipe)
            _put_in_place(pipe, attempt)
        else:
            if not stopped and not state.get(b"outcome", b"").startswith(b"canceled"):
                pipe.hincrby(ENDS_KEY, "failed", 1)
            job.set_status(JobStatus.STOPPED if stopped else JobStatus.FAILED, pipe)
            name = attempt.execution.worker_name
            job._handle_failure(exc_string, pipe, name, attempt.token, job.started_at, job.ended_at)
            board.forget(pipe)
        attempt.close(pipe)

    attempt.change(write, only_if_lapsed=only_if_lapsed)
    if death:
        log.warning("%s: the process that measured it died (%s)", job.id, death)
    if handed_back or retry:
        log.info("%s: back in the queue", job.id)


def end_help(attempt: Attempt, *, died: bool, only_if_lapsed: bool = False) -> None:
    """End an attempt that helps with an audit, and free what it has not finished of it. Raises Superseded."""
    attempt.insist(only_if_lapsed=only_if_lapsed)
    AuditBoard(attempt, attempt.job.args[0]).give_back(died=died)

    def write(pipe: Any, _state: State) -> None:
        if died:
            pipe.hincrby(ENDS_KEY, "deaths", 1)
        attempt.close(pipe)

    attempt.change(write, only_if_lapsed=only_if_lapsed)


def how_it_died(status: int | None) -> str:
    """Say how a job's process died, from its status as ``os.wait`` gives it; None if it had to be killed."""
    if status is not None and os.WIFEXITED(status) and os.WEXITSTATUS(status) == DECODING_DIED:
        return "because a process that decodes its images was killed"
    if status is None or not os.WIFSIGNALED(status):
        return "by itself"
    number = os.WTERMSIG(status)
    memory = ", which is what happens when memory runs out" if number == signal.SIGKILL else ""
    return f"by signal {number}{memory}"


def _put_in_place(pipe: Any, attempt: Attempt) -> None:
    """Add to a transaction that the job, which goes back into the queue, waits where it did before."""
    pipe.eval(MOVE_TO_PLACE, 1, attempt.queue.key, attempt.job.id, state_key(""))


def _add_death(pipe: Any, identifier: str, deaths: int, how: str) -> None:
    """Add to a transaction the number of ``deaths``, and the error of the audit if there is no further attempt."""
    times = "once" if deaths == 1 else f"{deaths} times"
    error = problem("worker-died", f"The process that measured it died {times}; the last time {how}.")
    pipe.hset(state_key(identifier), mapping={"deaths": deaths, "error": error.model_dump_json()})
