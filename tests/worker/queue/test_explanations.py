"""Explanations made beside the audits: stored whole, or failed with the reason, whatever happens to their process."""

import os
import signal
from pathlib import Path
from typing import NoReturn

import pytest
from redis import Redis
from zooaudit.contract import (
    EXPLAINING_KEY,
    WANTED_EXPLANATIONS_KEY,
    AuditRequest,
    Contract,
    ExplanationQuestion,
    LeastEquivariant,
    LeastEquivariantRequest,
    Problem,
    Report,
    explanation_key,
    failure_key,
    report_key,
)

from tests.fakes import ASK, report_of
from worker.errors import AuditError
from worker.queue import explanations

LEAST = LeastEquivariantRequest(angle_deg=90)


class Files:
    """A report store of plain files. The real one's client works on one side of a fork, and other tests have used it in
    this process."""

    def __init__(self, location: str) -> None:
        self._folder = Path(location)

    def read(self, identifier: str) -> Report | None:
        path = self._folder / report_key(identifier)
        return Report.model_validate_json(path.read_text()) if path.exists() else None

    def put(self, key: str, content: bytes) -> None:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanations, "ReportStore", Files)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    made_up = report_of(AuditRequest(**ASK))
    path = tmp_path / report_key(made_up.id)
    path.parent.mkdir()
    path.write_text(made_up.model_dump_json())
    return made_up


def made(_question: ExplanationQuestion, report: Report) -> Contract:
    return LeastEquivariant(
        audit=report.id,
        border="crop",
        precision="float32",
        images=1,
        changed=0,
        mean_pool=1.0,
        mean_final=1.0,
        least=(),
    )


def killed(_question: ExplanationQuestion, _report: Report) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def hanging(_question: ExplanationQuestion, _report: Report) -> NoReturn:
    signal.pause()
    raise AssertionError


def refusing(_question: ExplanationQuestion, _report: Report) -> NoReturn:
    raise AuditError("dataset-changed", "It has other images.")


def broken(_question: ExplanationQuestion, _report: Report) -> NoReturn:
    raise ZeroDivisionError("a bug in /srv/secret/place.py")


def hungry(_question: ExplanationQuestion, _report: Report) -> NoReturn:
    raise MemoryError


def ask(redis: Redis, question: ExplanationQuestion, explain: explanations.Explain, store: Path) -> Problem | None:
    """Let the question wait and one process look for questions. Returns why it has failed."""
    redis.zadd(WANTED_EXPLANATIONS_KEY, {question.model_dump_json(): 1.0})
    explanations._answer_next(str(store), explain, lambda: None, redis)
    assert redis.zcard(WANTED_EXPLANATIONS_KEY) == redis.zcard(EXPLAINING_KEY) == 0
    failure = redis.get(failure_key(question))
    return None if failure is None else Problem.model_validate_json(failure)  # type: ignore[arg-type]


def test_an_answer_is_in_the_store(redis: Redis, report: Report, tmp_path: Path) -> None:
    question = ExplanationQuestion(audit=report.id, least=LEAST)
    assert ask(redis, question, made, tmp_path) is None
    stored = (tmp_path / explanation_key(question)).read_bytes()
    assert LeastEquivariant.model_validate_json(stored) == made(question, report)


@pytest.mark.parametrize(
    ("explain", "slug", "said"),
    [
        (killed, "worker-died", "was ended by signal 9"),
        (hanging, "timed-out", "took longer than 0.5 s"),
        (refusing, "dataset-changed", "It has other images."),
        (broken, "internal-error", "ZeroDivisionError: a bug in .../place.py"),
        (hungry, "out-of-memory", "takes more memory"),
    ],
)
def test_what_goes_wrong_is_the_reason_and_nothing_is_stored(
    redis: Redis,
    report: Report,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    explain: explanations.Explain,
    slug: str,
    said: str,
) -> None:
    monkeypatch.setattr(explanations, "LIMIT_S", 0.5 if explain is hanging else 30.0)
    question = ExplanationQuestion(audit=report.id, least=LEAST)
    failure = ask(redis, question, explain, tmp_path)
    assert failure is not None
    assert failure.type.endswith(slug)
    assert said in failure.detail
    assert not (tmp_path / "explanations").exists()
    assert ask(redis, question, made, tmp_path) == failure  # until the service asks anew, which forgets it
    assert (tmp_path / explanation_key(question)).exists()


def test_an_audit_without_a_report_has_none(redis: Redis, tmp_path: Path) -> None:
    failure = ask(redis, ExplanationQuestion(audit="0" * 32, least=LEAST), made, tmp_path)
    assert failure is not None
    assert failure.type.endswith("report-lost")


def test_a_question_of_another_version_is_dropped(redis: Redis, tmp_path: Path) -> None:
    redis.zadd(WANTED_EXPLANATIONS_KEY, {'{"audit": 7}': 1.0})
    explanations._answer_next(str(tmp_path), made, lambda: None, redis)
    assert redis.zcard(WANTED_EXPLANATIONS_KEY) == redis.zcard(EXPLAINING_KEY) == 0
