"""What the service hears about a checkpoint: what the audit itself would say, within the limits and only once."""

import json
import os
import signal
from pathlib import Path

import pytest
from redis import Redis
from safetensors.torch import save_file
from zooaudit.contract import (
    CHECKPOINT_QUESTIONS_KEY,
    CHECKPOINT_WORK_KEY,
    TROUBLES_KEY,
    CheckpointAnswer,
    CheckpointQuestion,
    answer_key,
)

from tests.worker.zoo.test_checkpoints import network
from worker.queue import checkpoint_versions
from worker.zoo import checkpoint_files, checkpoints

MODEL = "timm/test_resnet.r160_in1k"


def ask(redis: Redis, folder: Path, name: str = "mine", model: str = MODEL) -> CheckpointAnswer:
    question = CheckpointQuestion(token="t", name=name, model=model)
    return checkpoint_versions.answer(question, str(folder), redis, lambda: None)


def test_a_question_is_answered_with_the_version(redis, tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "mine.safetensors")
    redis.rpush(
        CHECKPOINT_QUESTIONS_KEY,
        "not understood",
        CheckpointQuestion(token="t", name="mine", model=MODEL).model_dump_json(),
    )
    beats: list[int] = []
    for _ in range(2):
        checkpoint_versions._answer_next(str(tmp_path), lambda: beats.append(0), redis)
    answered = CheckpointAnswer.model_validate_json(redis.blpop([answer_key("t")])[1])
    assert answered == CheckpointAnswer(version=checkpoints.version("mine", tmp_path))
    assert beats
    assert not redis.exists(CHECKPOINT_WORK_KEY)


def test_the_second_question_reads_no_file(redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"fc.bias": network().state_dict()["fc.bias"]}, tmp_path / "mine.safetensors")
    first = ask(redis, tmp_path)
    assert first.error is not None
    assert first.error.type.endswith("weights-mismatch")
    monkeypatch.setattr(checkpoint_files.hashlib, "file_digest", None)
    monkeypatch.setattr(checkpoints, "open_outline", None)
    assert ask(redis, tmp_path) == first
    monkeypatch.undo()
    save_file(network().state_dict(), tmp_path / "mine.safetensors")
    assert ask(redis, tmp_path).error is None


def test_a_file_that_another_process_looks_at_waits_for_it(redis, tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "mine.safetensors")
    asked = CheckpointQuestion(token="t", name="mine", model=MODEL).model_dump_json()
    redis.rpush(CHECKPOINT_QUESTIONS_KEY, asked)
    redis.zadd(CHECKPOINT_WORK_KEY, {"mine": 2e9 * 10})
    checkpoint_versions._answer_next(str(tmp_path), lambda: None, redis)
    assert redis.lrange(CHECKPOINT_QUESTIONS_KEY, 0, -1) == [asked.encode()]
    redis.zadd(CHECKPOINT_WORK_KEY, {"mine": 1.0})  # it has died since
    checkpoint_versions._answer_next(str(tmp_path), lambda: None, redis)
    assert redis.exists(answer_key("t"))


@pytest.mark.parametrize("how", [lambda: signal.pause(), lambda: os.kill(os.getpid(), signal.SIGKILL)])
def test_if_nobody_can_find_out_whether_it_fits_it_is_accepted_and_health_tells(
    redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how
) -> None:
    save_file(network().state_dict(), tmp_path / "mine.safetensors")
    monkeypatch.setattr(checkpoint_versions, "check_fit", lambda *_: how())
    monkeypatch.setattr(checkpoint_versions, "FIT_LIMIT_S", 3.0)
    assert ask(redis, tmp_path) == CheckpointAnswer(version=checkpoints.version("mine", tmp_path))
    (trouble,) = redis.zrange(TROUBLES_KEY, 0, -1)
    assert trouble.decode().startswith(f"Checking on a worker whether checkpoint:mine fits {MODEL} ")


def test_a_version_that_takes_too_long_is_asked_for_again(
    redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "version", lambda *_: signal.pause())
    monkeypatch.setattr(checkpoint_versions, "VERSION_LIMIT_S", 0.3)
    answered = ask(redis, tmp_path)
    assert answered.error is not None
    assert answered.error.status == 503
    assert "Reading checkpoint:mine took longer than 0.3 s" in answered.error.detail
    assert redis.zcard(TROUBLES_KEY) == 1


def test_a_file_that_is_replaced_meanwhile_is_not_judged(
    redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(network().state_dict(), tmp_path / "mine.safetensors")
    with monkeypatch.context() as patched:
        patched.setattr(
            checkpoint_versions,
            "check_fit",
            lambda *_: save_file(network(8).state_dict(), tmp_path / "mine.safetensors"),
        )
        answered = ask(redis, tmp_path)
    assert answered.error is not None
    assert answered.error.type.endswith("checkpoint-replaced")
    assert not redis.keys("zooaudit:checkpoints:fit:*")
    assert ask(redis, tmp_path).error is None  # it is another file now, and that fits


def test_a_place_that_does_not_answer_says_nothing_of_the_file(
    redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(network().state_dict(), tmp_path / "mine.safetensors")

    def silent(*_: object) -> None:
        raise checkpoint_files.Unavailable

    monkeypatch.setattr(checkpoints.tensor_files, "read_shapes", silent)
    assert ask(redis, tmp_path).error is None
    (key,) = redis.keys("zooaudit:checkpoints:fit:*")
    assert redis.ttl(key) <= checkpoint_versions.KEEP_DOUBT_S


def test_an_answer_that_a_bug_kept_back_is_no_refusal(redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(network().state_dict(), tmp_path / "mine.safetensors")
    monkeypatch.setattr(checkpoint_versions, "check_fit", lambda *_: json.loads("{"))
    assert ask(redis, tmp_path).error is None
