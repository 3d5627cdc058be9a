"""Who may take what of a shared audit, and what counts of what is handed in."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import WatchError
from rq import Queue
from rq.job import Job
from zooaudit.contract import (
    HELP_PREFIX,
    IDLE_KEY,
    JOB,
    OPEN_KEY,
    QUEUE,
    AuditRequest,
    Board,
    MemberRecord,
    PlanRecord,
    Progress,
    ShardRecord,
    audit_id,
    board_key,
    members_key,
    shards_prefix,
    state_key,
    unfit_key,
)
from zooaudit.contract.board import readable

from service.redis_server import EmbeddedRedis
from worker.errors import AuditError
from worker.measure.model_scores import ModelScores
from worker.measure.plan import Plan, Shard
from worker.measure.similarity import Equivariance
from worker.measure.transforms import Shift
from worker.queue import sharing
from worker.queue.attempt import Attempt, Superseded
from worker.queue.audit_board import DEATHS, AuditBoard
from worker.queue.audit_state import AuditState
from worker.queue.ending import end_early, end_help
from worker.queue.helping import Helping
from worker.queue.member import Left
from worker.queue.report_store import ReportStore, StoreUnavailable
from worker.queue.shard_store import ShardStore
from worker.queue.sharing import AuditShards, HandedBack, Unfit, software
from worker.queue.taking import worth_taking

REQUEST = AuditRequest(model="timm/resnet18.a1_in1k", dataset="synthetic", num_images=10)
ID = audit_id(REQUEST)
PLAN = Plan("same", tuple((Shift(shift_px),) for shift_px in range(1, 9)), 1, 10, 8)
TTL_S = 30


def scores(shard: Shard, images: int = 10) -> ModelScores:
    return ModelScores(
        results={t: [{"correlation": Equivariance(t.shift_px / 10, 0.9)}] for t in shard.transforms},  # type: ignore[union-attr]
        same_class=dict.fromkeys(shard.transforms, (images,)),
        reference_spreads=[],
        groups=[images],
        skipped=(),
        batch_size=1,
        used_graphs=None,
        used_tensor_cores=None,
        devices=("made up",),
        forward_images=0,
        started_at=datetime.now(UTC),
        seconds=1.0,
    )


def say(shards: AuditShards, done: int) -> None:
    """Let a worker say how many forward images it has measured."""
    shards.write_progress(Progress(phase="measuring", done=done, total=90))
    shards._member.repeat()


class Workers:
    """Workers that take part in one audit: the one that leads, and helpers."""

    def __init__(self, redis: Redis, url: str, store: Path, identifier: str = ID) -> None:
        self.redis, self._url, self.store, self._id = redis, url, ReportStore(str(store)), identifier
        self.queue = Queue(QUEUE, connection=redis, serializer="json")
        self.queue.enqueue(JOB, REQUEST.model_dump(mode="json"), job_id=identifier)

    def leads(self, plan: Plan = PLAN) -> AuditShards:
        self.redis.lmove(self.queue.key, self.queue.intermediate_queue_key)
        job = Job.fetch(self._id, connection=self.redis, serializer="json")
        return self._takes_part(Attempt(job, self.queue, "first", TTL_S), plan)

    def helps(self, plan: Plan = PLAN, name: str = "second") -> AuditShards:
        helping = Helping(self.queue, name)
        job = helping.look()
        assert job is not None
        helping.stop()
        token = job.id.removeprefix(HELP_PREFIX)
        return self._takes_part(Attempt(job, self.queue, name, TTL_S, token), plan)

    def _takes_part(self, attempt: Attempt, plan: Plan) -> AuditShards:
        assert attempt.claim()
        shards = AuditShards(self._id, attempt, AuditState(attempt, self._url, self._id), self.store, "cpu")
        shards.begin(plan)
        return shards

    def board(self) -> Board:
        board = Board.read(self.redis.hgetall(board_key(ID)), self.redis.hgetall(members_key(ID)))
        assert board is not None
        return board

    def dies(self, shards: AuditShards) -> None:
        """Let the signs of life of a worker lapse."""
        execution = shards._attempt.execution
        self.redis.zadd(self.queue.started_job_registry.key, {execution.composite_key: time.time() - 1})


@pytest.fixture
def workers(redis: Redis, redis_server: EmbeddedRedis, tmp_path: Path) -> Workers:
    return Workers(redis, redis_server.url, tmp_path)


def test_one_worker_takes_everything_and_hands_it_in(workers: Workers) -> None:
    leading = workers.leads()
    shard = leading.take()
    assert shard is not None
    assert shard.transforms == tuple(Shift(shift_px) for shift_px in range(1, 9))
    leading.put(shard, scores(shard))
    assert leading.take() is None
    assert [found.results[Shift(3)][0]["correlation"].channel for _, found in leading.measured()] == [0.3] * 8
    assert (leading.workers, leading.repeated) == (1, 0)
    leading.end()
    assert not workers.redis.exists(board_key(ID), members_key(ID), OPEN_KEY)
    assert workers.store.keys(shards_prefix(ID)) == []


def test_a_worker_that_comes_late_takes_half_of_what_another_has_just_begun(workers: Workers) -> None:
    leading = workers.leads()
    shard = leading.take()
    say(leading, 0)
    helping = workers.helps()
    other = helping.take()
    assert shard is not None
    assert other is not None
    assert len(other.transforms) == 4
    say(leading, 10)
    assert set(leading.given_away()) == set(other.transforms)
    leading.put(shard, scores(shard))
    helping.put(other, scores(other))
    assert helping.take() is None
    assert leading.take() is None
    of_shard = {task: found.forward_images for task, found in leading.measured()}
    assert of_shard == dict.fromkeys([(0, unit) for unit in range(8)], 10 * (1 + 4))


def test_progress_counts_what_was_taken_away_once(workers: Workers) -> None:
    leading = workers.leads()
    leading.take()
    say(leading, 18)
    helping = workers.helps()
    other = helping.take()
    assert other is not None
    assert len(other.transforms) == 3
    for _ in range(2):  # the answer to the first tells it of its loss
        say(leading, 18)
    progress = workers.board().progress(Progress())
    assert (progress.done, progress.total) == (18 - 18 * 3 // 9, 10 * (1 + 5) + 10 * (1 + 3))
    assert workers.board().repeated == 18 * 3 // 9


def test_a_shard_of_which_nothing_is_done_counts_all_its_transforms(workers: Workers) -> None:
    leading = workers.leads(Plan("same", ((Shift(1), Shift(2)), (Shift(3), Shift(4))), 1, 10, 2, adaptive=True))
    leading.take()
    board = workers.board()
    assert board.progress(Progress()).total == 10 * (1 + 2) * 2
    assert [shard.total for shard in board.sharing(time.time()).shards] == [30]


def test_what_was_taken_away_counts_only_where_it_was_taken_to(workers: Workers) -> None:
    leading = workers.leads()
    shard = leading.take()
    say(leading, 0)
    helping = workers.helps()
    other = helping.take()
    assert shard is not None
    assert other is not None
    leading.put(shard, scores(shard))  # it has not seen yet that half of it is gone
    assert len(workers.board().measured()) == 4
    workers.dies(helping)
    workers.redis.hset(state_key(helping._attempt.job.id), "attempt", "another")
    with pytest.raises(Superseded):
        helping.put(other, scores(other))
    assert len(workers.store.keys(shards_prefix(ID))) == 1


def test_the_shard_of_a_dead_worker_is_free_again_and_its_work_is_counted(workers: Workers) -> None:
    leading = workers.leads()
    leading.take()
    say(leading, 0)
    helping = workers.helps()
    other = helping.take()
    say(helping, 7)
    assert other is not None
    workers.dies(helping)
    shard = leading.take()  # as if it had handed in its own
    assert shard is not None
    assert set(shard.transforms) >= set(other.transforms)
    assert workers.board().repeated >= 7
    assert {workers.board().deaths[task] for task in other.tasks} == {1}
    end_help(helping._attempt, died=True)
    before = workers.redis.hgetall(board_key(ID))
    helping.put(other, scores(other))
    assert workers.redis.hgetall(board_key(ID)) == before
    assert workers.store.keys(shards_prefix(ID)) == []


def test_deaths_on_a_shard_fail_the_audit_but_not_those_on_different_ones(workers: Workers) -> None:
    few = Plan("same", PLAN.units, 1, 10, most=3)
    leading = workers.leads(few)
    for _ in range(3):
        assert leading.take() is not None
        end_early(leading._attempt, death="by signal 9")
        leading = workers.leads(few)
        shard = leading.take()
        assert shard is not None
        leading.put(shard, scores(shard))
        if len(workers.board().measured()) == 8:
            break
    assert leading.take() is None


def test_five_deaths_on_a_shard_fail_the_audit(workers: Workers) -> None:
    leading = workers.leads()
    for _ in range(DEATHS):
        assert leading.take() is not None
        AuditBoard(leading._attempt, ID).give_back(died=True)
    with pytest.raises(AuditError) as error:
        leading.take()
    assert error.value.problem.type.endswith("worker-died")
    assert f"{DEATHS} times" in (error.value.problem.detail or "")


def test_handing_an_audit_back_costs_no_attempt_and_no_shard(workers: Workers) -> None:
    few = Plan("same", PLAN.units, 1, 10, most=3)
    leading = workers.leads(few)
    shard = leading.take()
    assert shard is not None
    leading.put(shard, scores(shard))
    leading.take()
    end_early(leading._attempt, death=None, handed_back=True)
    again = workers.leads(few)
    assert len(workers.board().measured()) == 3
    rest = again.take()
    assert rest is not None
    assert not set(rest.transforms) & set(shard.transforms)
    assert workers.board().deaths == {}


def test_a_new_plan_takes_nothing_over_from_another_one(workers: Workers) -> None:
    leading = workers.leads(Plan("same", PLAN.units, 1, 10, most=3))
    shard = leading.take()
    assert shard is not None
    leading.put(shard, scores(shard))
    end_early(leading._attempt, death=None, handed_back=True)
    workers.leads(Plan("other", PLAN.units, 1, 10, 8))
    assert workers.board().measured() == {}
    assert workers.board().plan.fingerprint == "other"


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_a_shard_that_the_store_has_lost_is_measured_again(workers: Workers, tmp_path: Path, harm: str) -> None:
    leading = workers.leads()
    shard = leading.take()
    assert shard is not None
    leading.put(shard, scores(shard))
    (file,) = (tmp_path / "shards").rglob("*.safetensors")
    file.unlink() if harm == "missing" else file.write_bytes(file.read_bytes()[:-3])
    end_early(leading._attempt, death=None, handed_back=True)
    again = workers.leads().take()
    assert again is not None
    assert again.transforms == shard.transforms


def test_after_redis_was_emptied_the_audit_goes_on_from_the_store(workers: Workers) -> None:
    leading = workers.leads(Plan("same", PLAN.units, 1, 10, most=3))
    first, second = leading.take(), None
    assert first is not None
    leading.put(first, scores(first))
    second = leading.take()
    assert second is not None
    workers.redis.flushall()
    leading.put(second, scores(second))
    assert set(workers.board().measured()) == {*first.tasks, *second.tasks}
    third = leading.take()
    assert third is not None
    assert len(third.transforms) == 2


def test_workers_of_other_software_do_not_help(workers: Workers) -> None:
    leading = workers.leads()
    say(leading, 0)
    plan = workers.board().plan
    assert plan.software == software()
    assert Helping(workers.queue, "second").look() is not None
    workers.redis.delete(members_key(ID))
    other = plan.model_copy(update={"software": "protocol 0, zooaudit 0.0.1"})
    workers.redis.hset(board_key(ID), "plan", other.model_dump_json())
    assert Helping(workers.queue, "second").look() is None


def test_a_worker_that_would_measure_something_else_does_not_help(workers: Workers) -> None:
    workers.leads()
    with pytest.raises(Unfit):
        workers.helps(Plan("other images", PLAN.units, 1, 10, 8))


def test_a_worker_that_is_not_needed_finds_nothing(workers: Workers) -> None:
    leading = workers.leads()
    shard = leading.take()
    assert shard is not None
    assert Helping(workers.queue, "second").look() is None  # nothing is known yet of how far the first one is
    say(leading, 80)
    assert Helping(workers.queue, "second").look() is None  # it is nearly done


def test_what_nobody_measures_comes_before_the_shard_of_an_older_audit(
    workers: Workers, redis: Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    older = workers.leads()
    assert older.take() is not None
    say(older, 0)  # so that its shard is worth dividing
    younger = Workers(redis, redis_server.url, tmp_path, "1" * 32).leads(Plan("same", PLAN.units, 1, 10, most=3))
    assert younger.take() is not None
    job = Helping(workers.queue, "second").look()
    assert job is not None
    assert job.args[0] == "1" * 32


@pytest.mark.parametrize("when", ["before", "after"])
def test_workers_that_look_at_the_same_time_do_not_all_join_the_same_audit(
    when: str,
    workers: Workers,
    redis: Redis,
    redis_server: EmbeddedRedis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for audit in (workers, Workers(redis, redis_server.url, tmp_path, "1" * 32)):
        leading = audit.leads(Plan("same", PLAN.units, 1, 10, most=4))
        assert leading.take() is not None
    choose, joined = Helping._choose, []

    def interrupted(second: Helping) -> Any:
        """Let a third worker look between the second's look and its joining: before it looks again, or after."""
        identifier, job, needs_help = choose(second)
        monkeypatch.setattr(Helping, "_choose", choose)
        if when == "before":
            joined.append(Helping(workers.queue, "third").look())

        def still(board: Board) -> bool:
            answer = needs_help(board)
            if not joined:
                joined.append(Helping(workers.queue, "third").look())
            return answer

        return identifier, job, still

    monkeypatch.setattr(Helping, "_choose", interrupted)
    joined.append(Helping(workers.queue, "second").look())
    assert [job.args[0] for job in joined] == [ID, "1" * 32]


def test_a_helper_whose_connection_breaks_while_it_joins_looks_again(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    leading = workers.leads(Plan("same", PLAN.units, 1, 10, most=4))
    assert leading.take() is not None
    broken = []

    def breaks(fields: Any, members: Any) -> Any:
        if not broken:
            broken.append(True)
            raise WatchError  # as redis-py says it of what it was watching
        return readable(fields, members)

    helping = Helping(workers.queue, "second")
    chosen = helping._choose()
    monkeypatch.setattr("worker.queue.helping.readable", breaks)
    assert chosen is not None
    assert helping._join(*chosen) is None
    assert helping.look() is not None


@pytest.mark.parametrize("free_elsewhere", [True, False])
def test_a_helper_that_is_done_leaves_where_something_is_free_in_another_audit(
    free_elsewhere: bool, workers: Workers, redis: Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    leading = workers.leads(Plan("same", PLAN.units, 1, 10, most=4))
    assert leading.take() is not None
    helping = workers.helps()
    shard = helping.take()
    assert shard is not None
    say(leading, 0)  # so that its shard is worth dividing
    helping.put(shard, scores(shard))
    other = Workers(redis, redis_server.url, tmp_path, "1" * 32).leads(Plan("same", PLAN.units[:1], 1, 10, 8))
    if not free_elsewhere:
        assert other.take() is not None
    assert (helping.take() is None) == free_elsewhere


def test_a_helper_leaves_when_an_audit_waits(workers: Workers) -> None:
    leading = workers.leads(Plan("same", PLAN.units, 1, 10, most=3))
    leading.take()
    helping = workers.helps()
    workers.queue.enqueue(JOB, {}, job_id="1" * 32)
    with pytest.raises(Left):
        helping.take()


def test_the_leading_worker_makes_room_for_a_more_urgent_audit_only(workers: Workers) -> None:
    leading = workers.leads(Plan("same", PLAN.units, 1, 10, most=3))
    workers.redis.hset(state_key(ID), "place", "5e10")
    workers.queue.enqueue(JOB, {}, job_id="1" * 32)
    workers.redis.hset(state_key("1" * 32), "place", "6e10")
    shard = leading.take()
    assert shard is not None
    leading.put(shard, scores(shard))
    workers.redis.hset(state_key("1" * 32), "place", "4e10")
    with pytest.raises(HandedBack):
        leading.take()


def test_units_that_have_seen_fewer_images_are_measured_again_on_as_many(workers: Workers) -> None:
    units = ((Shift(1), Shift(2)), (Shift(3), Shift(4)))
    leading = workers.leads(Plan("same", units, 2, 100, most=2, adaptive=True))
    first = leading.take()
    assert first is not None
    assert (first.model, first.limit, first.at_least) == (0, None, 0)
    leading.put(first, scores(first, 40))
    second = leading.take()
    assert second is not None
    assert (second.model, second.limit, second.at_least) == (0, None, 40)
    leading.put(second, scores(second, 60))
    again = leading.take()
    assert again is not None
    assert (again.tasks, again.limit) == (first.tasks, 60)
    leading.put(again, scores(again, 60))
    baseline = leading.take()
    assert baseline is not None
    assert (baseline.model, baseline.limit) == (1, 60)


def test_a_much_faster_worker_takes_work_from_a_slow_one_at_any_time() -> None:
    def board(done: int, rate: float) -> Board:
        record = PlanRecord(
            fingerprint="", software="", models=1, units=(("1 px",),) * 8, images=10, adaptive=False, most=8
        )
        shard = ShardRecord(job="j", token="t", worker="w", device="d")
        member = MemberRecord(worker="w", at_s=time.time(), shard="1-t", done=done, total=90, rate=rate)
        taken = {(0, unit): "1-t" for unit in range(8)}
        return Board(record, 1, taken, {"1-t": shard}, members={"t": member})

    assert len(worth_taking(board(0, 1.0), 8)) == 4
    assert len(worth_taking(board(0, 1.0), 2)) == 2
    assert len(worth_taking(board(20, 1.0), 8)) == 3
    assert worth_taking(board(45, 1.0), 8) == []
    assert len(worth_taking(board(45, 1.0), 8, own_rate=50.0)) == 8
    assert worth_taking(board(0, 50.0), 8, own_rate=1.0) == []


def test_a_shard_whose_taking_redis_did_not_confirm_is_taken_again(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    leading = workers.leads()
    change, answers = AuditBoard.change, []

    def answer_lost_once(*arguments: Any) -> bool:
        answers.append(change(*arguments))
        return answers[-1] and len(answers) > 1

    monkeypatch.setattr(AuditBoard, "change", answer_lost_once)
    shard = leading.take()
    assert shard is not None
    assert len(shard.transforms) == 8
    assert len(workers.board().in_flight()) == 1


def test_a_redis_that_has_lost_its_last_writes_leaves_no_shard_for_ever_in_flight(workers: Workers) -> None:
    leading = workers.leads(Plan("same", PLAN.units, 1, 10, most=3))
    first = leading.take()
    assert first is not None
    before = workers.redis.hgetall(board_key(ID))
    leading.put(first, scores(first))
    workers.redis.delete(board_key(ID))
    workers.redis.hset(board_key(ID), mapping=before)
    while (shard := leading.take()) is not None:
        leading.put(shard, scores(shard))
    assert len(workers.board().measured()) == 8


def test_a_board_of_a_version_that_cannot_be_read_is_replaced(workers: Workers) -> None:
    workers.redis.hset(board_key(ID), mapping={"version": "3", "plan": '{"of": "another version"}', "who:1": "x"})
    assert workers.leads().take() is not None
    assert workers.board().plan.fingerprint == "same"


def test_a_helper_leaves_an_audit_that_was_begun_anew_by_another_plan(workers: Workers) -> None:
    few = Plan("same", PLAN.units, 1, 10, most=3)
    leading = workers.leads(few)
    leading.take()
    helping = workers.helps(few)
    shard = helping.take()
    assert shard is not None
    end_early(leading._attempt, death=None, handed_back=True)
    workers.leads(Plan("other", PLAN.units[:2], 1, 10, 8))
    with pytest.raises(Left):
        helping.put(shard, scores(shard))
    with pytest.raises(Left):
        helping.take()
    assert workers.board().taken == {}


def test_a_helper_that_comes_when_the_audit_has_ended_may_help_when_it_is_asked_for_again(workers: Workers) -> None:
    leading = workers.leads(Plan("same", PLAN.units, 1, 10, most=3))
    leading.take()
    job = Helping(workers.queue, "second").look()
    assert job is not None
    member = workers.redis.hgetall(members_key(ID))
    leading.end()
    workers.redis.hset(members_key(ID), mapping=member)  # it had looked before, and wrote this after the end
    attempt = Attempt(job, workers.queue, "second", TTL_S, job.id.removeprefix(HELP_PREFIX))
    with pytest.raises(Left, match="ended"):
        workers._takes_part(attempt, PLAN)
    end_help(attempt, died=False)
    assert not workers.redis.exists(members_key(ID), unfit_key(ID), state_key(job.id), job.key)


def test_a_shard_that_lacks_a_transform_is_measured_again_once(workers: Workers) -> None:
    leading = workers.leads()
    shard = leading.take()
    assert shard is not None
    some = scores(shard)
    some.results.pop(Shift(3))  # type: ignore[attr-defined]
    leading.put(shard, some)
    again = leading.take()
    assert again is not None
    leading.put(again, scores(again))
    assert leading.take() is None


def test_nobody_counts_on_idle_workers_that_cannot_help(workers: Workers) -> None:
    workers.redis.zadd(IDLE_KEY, {"second": time.time() + 60, "third": time.time() + 60})
    leading = workers.leads()
    plan = workers.board().plan
    workers.redis.sadd(unfit_key(ID), "second")
    other = plan.model_copy(update={"software": "protocol 0, zooaudit 0.0.1"})
    workers.redis.hset(board_key(ID), "plan", other.model_dump_json())
    assert Helping(workers.queue, "third").look() is None
    workers.redis.delete(members_key(ID))
    shard = leading.take()
    assert shard is not None
    assert len(shard.transforms) == 8


def test_a_helper_that_cannot_store_its_shard_leaves_it_to_others(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "HELPER_RETRIES_FOR_S", 0.0)
    leading = workers.leads(Plan("same", PLAN.units, 1, 10, most=4))
    first = leading.take()
    assert first is not None
    helping = workers.helps()
    shard = helping.take()
    assert shard is not None
    leading.put(first, scores(first))
    (tmp_path / "in the way").touch()
    helping._store = ShardStore(ReportStore(str(tmp_path / "in the way")), ID, "same")
    with pytest.raises(StoreUnavailable):
        helping.put(shard, scores(shard))
    end_help(helping._attempt, died=False)
    rest = leading.take()
    assert rest is not None
    assert set(rest.tasks) == set(shard.tasks)
