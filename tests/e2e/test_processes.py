"""Every accepted audit ends, whatever dies on the way: tested with real processes."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from redis import Redis
from rq import Queue
from zooaudit.contract import FORMER_JOBS, AuditRequest, audit_id, request_of, state_key

from tests.e2e.harness import alive, eventually


def kill(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def test_an_audit_from_submission_to_report(audits):
    body = audits.request_body("slow")
    submitted = audits.http.post("/audit", json=body)
    assert submitted.status_code == 202
    identifier = submitted.json()["id"]
    running = audits.until(identifier, "running")
    assert running.started_at >= running.created_at
    assert audits.measuring(identifier).progress.total in (0, 10)
    audit = audits.ended(identifier)
    assert audit.status == "succeeded"
    assert (audit.progress.phase, audit.progress.done) == ("done", 36)
    assert audit.finished_at > audit.started_at
    report = audits.report(identifier)
    assert report.id == identifier == audit_id(request_of(report))
    again = audits.http.post("/audit", json=body)
    assert (again.status_code, again.json()["status"]) == (200, "succeeded")
    assert len(audits.runs(identifier)) == 1


def test_the_same_request_from_many_at_once_is_one_audit(audits):
    body = audits.request_body("quick")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: audits.http.post("/audit", json=body), range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] * 15 + [202]
    (identifier,) = {answer.json()["id"] for answer in answers}
    assert audits.ended(identifier).status == "succeeded"
    assert len(audits.runs(identifier)) == 1


def test_an_audit_whose_process_is_killed_is_measured_again(audits):
    identifier = audits.submit("dies_once")
    assert audits.ended(identifier).status == "succeeded"
    assert len(audits.runs(identifier)) == 2


def test_an_audit_whose_decoding_process_is_killed_is_measured_again(stack, audits):
    identifier = audits.submit("decoder_dies")
    assert audits.ended(identifier).status == "succeeded"
    assert len(audits.runs(identifier)) == 2
    with Redis.from_url(stack.redis_url) as redis:
        assert redis.hget(state_key(identifier), "deaths") == b"1"


def test_a_report_that_is_stored_is_not_measured_again_when_its_process_dies(audits):
    audits.ended(audits.submit("quick"))  # creates the store's folder
    identifier = audits.submit("dies_stored")
    audit = audits.ended(identifier)
    assert (audit.status, audit.progress.done, audit.progress.phase) == ("succeeded", 36, "done")
    assert len(audits.runs(identifier)) == 1
    assert audits.report(identifier).id == identifier


def test_an_audit_that_kills_every_process_fails_with_the_count(audits):
    identifier = audits.submit("dies")
    audit = audits.ended(identifier)
    assert audit.status == "failed"
    assert audit.error.type == "urn:zooaudit:problem:worker-died"
    assert "3 times" in audit.error.detail
    assert "signal 9" in audit.error.detail
    assert len(audits.runs(identifier)) == 3


@pytest.mark.parametrize(
    ("way", "slug", "detail"),
    [
        ("fails", "hub-unreachable", "Ask for untrained weights."),
        ("breaks", "internal-error", "ZeroDivisionError: a bug <b>"),
        ("exits", "internal-error", "SystemExit: a library gave up"),
    ],
)
def test_an_error_fails_the_audit_at_once_with_its_problem(audits, way, slug, detail):
    identifier = audits.submit(way)
    audit = audits.ended(identifier)
    assert audit.status == "failed"
    assert audit.error.type == f"urn:zooaudit:problem:{slug}"
    assert audit.error.detail == detail
    assert len(audits.runs(identifier)) == 1
    again = audits.http.post("/audit", json=audit.request.model_dump(mode="json"))
    assert again.status_code == 202
    audits.ended(identifier)


def test_an_audit_that_takes_too_long_fails(stack, audits):
    kill(stack.workers[-1])
    stack.workers.clear()
    worker = stack.start_worker(ZOOAUDIT_JOB_TIMEOUT_S="1")
    audit = audits.ended(audits.submit("mute", num_images=200))
    assert audit.status == "failed"
    assert audit.error.type == "urn:zooaudit:problem:timed-out"
    kill(worker)


def test_another_worker_finishes_what_a_killed_one_had_begun(stack, audits):
    identifier = audits.submit("slow", num_images=30)
    audits.measuring(identifier)
    kill(stack.workers[-1])
    (process,) = audits.runs(identifier)
    eventually(lambda: not alive(process), 5.0)
    stack.mend()
    assert audits.ended(identifier, within_s=15.0).status == "succeeded"
    assert len(audits.runs(identifier)) == 2


def test_a_job_taken_but_not_started_by_a_killed_worker_is_put_back(stack, audits):
    worker = stack.workers[-1]
    worker.send_signal(signal.SIGSTOP)  # Redis still hands the job to its open connection
    identifier = audits.submit("quick")
    with Redis.from_url(stack.redis_url) as redis:
        eventually(lambda: redis.lrange("rq:queue:audits:intermediate", 0, -1) == [identifier.encode()], 5.0)
    kill(worker)
    stack.mend()
    assert audits.ended(identifier, within_s=15.0).status == "succeeded"
    assert len(audits.runs(identifier)) == 1


def test_a_worker_told_to_stop_gives_its_audit_back_and_that_costs_no_attempt(stack, audits):
    identifier = audits.submit("slow", num_images=30)
    for attempt in range(1, 5):
        eventually(lambda count=attempt: len(audits.runs(identifier)) == count, 10.0)
        if attempt < 4:
            stack.workers[-1].terminate()
            assert stack.workers[-1].wait(10) == 0
            assert audits.until(identifier, "queued").progress.phase == "queued"
            stack.mend()
    assert audits.ended(identifier).status == "succeeded"


def test_redis_killed_in_mid_audit_and_started_again(stack, audits):
    identifier = audits.submit("slow", num_images=20)
    audits.measuring(identifier)
    kill(stack.redis.process)
    answer = audits.http.get(f"/audit/{identifier}")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert audits.http.get("/health").json()["redis"] is False
    time.sleep(3)  # long enough for the audit to end, and for the worker to miss some heartbeats
    stack.redis.start()
    assert audits.ended(identifier).status == "succeeded"
    assert len(audits.runs(identifier)) == 1
    assert audits.ended(audits.submit("quick")).status == "succeeded"


def test_the_api_killed_and_started_again(stack, audits):
    identifier = audits.submit("slow", num_images=20)
    kill(stack.api)
    stack.mend()
    assert audits.ended(identifier).status == "succeeded"


@pytest.mark.parametrize("way", ["slow", "mute"])
def test_cancel_stops_a_running_audit_and_it_can_run_again(audits, way):
    identifier = audits.submit(way, num_images=600)
    audits.measuring(identifier)
    answer = audits.http.delete(f"/audit/{identifier}")
    assert answer.status_code == 202
    audit = audits.until(identifier, "canceled", within_s=4.0)
    assert audit.finished_at is not None
    (process,) = audits.runs(identifier)
    eventually(lambda: not alive(process), 4.0)
    assert audits.http.get(f"/audit/{identifier}/report").status_code == 409
    again = audits.http.post("/audit", json=audit.request.model_dump(mode="json"))
    assert (again.status_code, again.json()["status"]) == (202, "queued")
    eventually(lambda: len(audits.runs(identifier)) == 2, 10.0)
    audits.http.delete(f"/audit/{identifier}")
    audits.until(identifier, "canceled")


def test_submission_right_after_a_cancel_runs_it_again(audits):
    body = audits.request_body("slow", num_images=20)
    identifier = audits.http.post("/audit", json=body).json()["id"]
    audits.measuring(identifier)
    assert audits.http.delete(f"/audit/{identifier}").status_code == 202
    assert audits.http.post("/audit", json=body).status_code == 202
    assert audits.ended(identifier).status == "succeeded"


def test_cancel_of_an_audit_that_waits(audits):
    ahead, behind = audits.submit("slow", num_images=600), audits.submit("slow", num_images=600)
    audits.measuring(ahead)
    answer = audits.http.delete(f"/audit/{behind}")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    audits.http.delete(f"/audit/{ahead}")
    audits.until(ahead, "canceled")
    assert audits.ended(audits.submit("quick")).status == "succeeded"
    assert audits.runs(behind) == []


def test_cancel_holds_when_its_message_is_lost_or_its_worker_dies(stack, audits):
    identifier = audits.submit("mute", num_images=600)
    audits.measuring(identifier)
    worker = stack.workers[-1]
    worker.send_signal(signal.SIGSTOP)
    assert audits.http.delete(f"/audit/{identifier}").status_code == 202
    kill(worker)
    audits.until(identifier, "canceled", within_s=8.0)
    stack.mend()
    with Redis.from_url(stack.redis_url) as redis:
        eventually(lambda: not redis.zcard("rq:wip:audits") and not redis.llen("rq:queue:audits"), 15.0)
    assert audits.get(identifier).status == "canceled"
    assert len(audits.runs(identifier)) == 1


def test_a_cancel_whose_message_never_arrives_still_stops_the_audit(stack, audits):
    identifier = audits.submit("mute", num_images=600)
    audits.measuring(identifier)
    (process,) = audits.runs(identifier)
    with Redis.from_url(stack.redis_url) as redis:
        redis.hset(state_key(identifier), "outcome", f"canceled {time.time()}")
    eventually(lambda: not alive(process), 5.0)
    audits.until(identifier, "canceled")


def test_a_redis_that_loses_everything_loses_no_finished_audit(stack, audits):
    done = audits.submit("quick")
    audits.ended(done)
    under_way = audits.submit("slow", num_images=50)
    audits.measuring(under_way)
    with Redis.from_url(stack.redis_url) as redis:
        redis.flushall()
    assert audits.get(under_way).status in ("queued", "running")
    assert done in [audit["id"] for audit in audits.http.get("/audit", params={"limit": 200}).json()["audits"]]
    assert audits.get(done).status == "succeeded"
    assert audits.report(done).id == done
    # The worker registers again, and the report that it was measuring arrives.
    eventually(lambda: audits.http.get("/health").json()["status"] == "ok", 5.0)
    eventually(lambda: audits.http.get("/models", params={"q": "quick"}).status_code == 200, 5.0)
    eventually(lambda: audits.http.get(f"/audit/{under_way}/report").status_code == 200, 10.0)
    assert audits.ended(under_way).status == "succeeded"
    assert audits.http.get("/audit").json()["audits"][0]["id"] == under_way
    assert audits.ended(audits.submit("quick")).status == "succeeded"


@pytest.mark.parametrize("name", FORMER_JOBS)
def test_a_job_that_an_older_service_queued_under_a_former_name_still_runs(stack, audits, name):
    request = AuditRequest.model_validate(audits.request_body("timm/quick.v1"))
    identifier = audit_id(request)
    with Redis.from_url(stack.redis_url) as redis:
        queue = Queue("audits", connection=redis, serializer="json")
        queue.enqueue(name, request.model_dump(mode="json"), job_id=identifier)
    audit = audits.ended(identifier)
    assert (audit.status, audit.request) == ("succeeded", request)
    assert audits.report(identifier).id == identifier
    assert len(audits.runs(identifier)) == 1


def test_a_job_that_names_another_function_is_not_run(stack, tmp_path):
    mark = tmp_path / "mark"
    with Redis.from_url(stack.redis_url) as redis:
        job = Queue("audits", connection=redis, serializer="json").enqueue("os.mkdir", str(mark))
        eventually(lambda: job.get_status() == "failed", 10.0)
    assert not mark.exists()


def test_nothing_outlives_a_stack_that_is_killed(tmp_path):
    command = [sys.executable, "-m", "service.stack", "--directory", str(tmp_path), "--workers", "0"]
    env = {**os.environ, "ZOOAUDIT_PORT": "0", "ZOOAUDIT_API_KEYS": ""}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as stack:
        eventually(lambda: "zooaudit is at" in stack.stdout.readline(), 60.0)
        children = psutil.Process(stack.pid).children(recursive=True)
        assert len(children) == 2
        stack.kill()
    eventually(lambda: not any(alive(child.pid) for child in children), 5.0)


def test_a_stack_says_why_it_does_not_start(tmp_path):
    command = [sys.executable, "-m", "service.stack", "--directory", str(tmp_path), "--workers", "0"]
    env = {**os.environ, "ZOOAUDIT_HOST": "0.0.0.0", "ZOOAUDIT_API_KEYS": ""}
    stack = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert stack.returncode == 2
    assert "Without ZOOAUDIT_API_KEYS the service listens on loopback only" in stack.stderr


def test_keys_over_http(stack, tmp_path):
    env = {**stack.env, "ZOOAUDIT_API_KEYS": "sesame", "ZOOAUDIT_PORT": "0"}
    assert env["ZOOAUDIT_REDIS_URL"] == stack.redis_url
    from service.stack import running  # a second API beside the first, on the same Redis

    env.pop("ZOOAUDIT_PORT")
    with running(tmp_path, workers=0, env=env) as locked, httpx.Client(base_url=locked.url) as http:
        body = {"model": "quick", "weights": "untrained", "dataset": "synthetic"}
        assert http.post("/audit", json=body).status_code == 401
        assert http.post("/audit", json=body, headers={"Authorization": "Bearer sesame"}).status_code in (200, 202)
        assert "sesame" not in (tmp_path / "logs" / "api.log").read_text()
