"""Labels, notes, archive and delete, also when Redis or a process is lost; retention, quotas, and the audit log."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from rq.job import JobStatus
from zooaudit.contract import CATALOGUE_KEY, AnnotationsChange, AuditRequest, audit_id, kept_report_key, sealed

from service import deletion, retention
from service.app import create_app
from service.errors import Refused, StoreUnavailable
from service.queue import AuditRow
from service.quota import Quota
from service.retention import Retention
from service.settings import ServiceSettings
from tests.fakes import ASK, is_problem, report_of

READ, SUBMIT, ADMIN = ({"Authorization": f"Bearer {key}"} for key in ("eyes", "hands", "house"))
KEYS = "reader:read:eyes,writer:submit:hands,keeper:admin:house"


@pytest.fixture
def app_of(redis_server, published, tmp_path) -> Callable[..., Any]:  # noqa: ARG001 - only its effect on Redis is needed
    """Make further processes of one service, each with its own memory."""

    def build(**changes: Any) -> Any:
        return create_app(ServiceSettings(redis_url=redis_server.url, store=str(tmp_path / "store"), **changes))

    return build


def client_of(app: Any, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost", headers=headers)


@pytest.fixture
def stored(store_report) -> Callable[..., str]:
    """Store the report of an audit, which has ended so many days ago."""

    def store(repetition: int = 0, days: float = 0) -> str:
        report = report_of(
            AuditRequest(**ASK, repetition=repetition), datetime.now(UTC) - timedelta(days=days, seconds=10)
        )
        store_report(report)
        return report.id

    return store


def files_of(folder: Path) -> set[str]:
    store = folder / "store"
    return {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}


async def listed(http: httpx.AsyncClient, **query: str) -> list[str]:
    return [audit["id"] for audit in (await http.get("/audit", params=query)).json()["audits"]]


async def test_labels_and_notes_are_written_read_and_found(http, stored):
    first, second = stored(0), stored(1)
    before = (await http.get(f"/audit/{first}")).json()
    assert not {"labels", "note", "archived"} & before.keys()
    change = {
        "labels": ["paper", "für-mich", "paper"],
        "note": "  run with\r\nthe new images\u00a0\U0001f469\u200d\U0001f52c ",
    }
    answer = await http.patch(f"/audit/{first}", json=change)
    assert answer.status_code == 200
    expected = before | {
        "labels": ["paper", "für-mich"],
        "note": "run with\nthe new images\u00a0\U0001f469\u200d\U0001f52c",
    }
    assert answer.json() == expected
    assert (await http.get(f"/audit/{first}")).json() == expected
    assert (await http.post("/audit", json=ASK)).json() == expected
    page = (await http.get("/audit", params={"label": "paper"})).json()
    assert (page["total"], page["audits"]) == (1, [expected])
    assert await listed(http, label="Paper") == []
    assert set(await listed(http)) == {first, second}
    # What is absent stays; what is empty goes.
    assert (await http.patch(f"/audit/{first}", json={"note": ""})).json() == before | {"labels": expected["labels"]}
    assert (await http.patch(f"/audit/{first}", json={"labels": []})).json() == before
    assert await listed(http, label="paper") == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"labels": ["two words"]}, "labels.0"),
        ({"labels": ["a,b"]}, "labels.0"),
        ({"labels": ["x" * 41]}, "labels.0"),
        ({"labels": [f"l{n}" for n in range(21)]}, "labels"),
        ({"note": "x" * 2001}, "note"),
        ({"note": "\x1b[2J"}, "note"),
        ({"archived": "perhaps"}, "archived"),
        ({"title": "x"}, "title"),
    ],
)
async def test_what_cannot_be_written_is_refused(http, stored, change, field):
    identifier = stored()
    answer = await http.patch(f"/audit/{identifier}", json=change)
    assert is_problem(answer, 422, "invalid-request")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "labels" not in (await http.get(f"/audit/{identifier}")).json()


async def test_what_is_not_there_cannot_be_labelled_or_deleted(http, tmp_path):
    for identifier in ("0" * 32, "nothing"):
        assert is_problem(await http.patch(f"/audit/{identifier}", json={"note": "x"}), 404, "unknown-audit")
        assert is_problem(await http.delete(f"/audit/{identifier}?purge=true"), 404, "unknown-audit")
    assert not any(path.startswith(("annotations", "deleting")) for path in files_of(tmp_path))


async def test_an_archived_audit_is_listed_only_where_it_is_asked_for(http, stored):
    first, second = stored(0), stored(1)
    assert (await http.patch(f"/audit/{first}", json={"archived": True})).json()["archived"] is True
    assert await listed(http) == [second]
    assert await listed(http, archived="true") == [first]
    assert set(await listed(http, archived="any")) == {first, second}
    assert await listed(http, id=first[:6]) == [first]  # or nobody could name it by how its id starts
    assert (await http.get(f"/audit/{first}/report")).status_code == 200
    await http.patch(f"/audit/{first}", json={"archived": False})
    assert set(await listed(http)) == {first, second}


async def test_an_emptied_redis_loses_nothing_that_was_written(app_of, redis, stored):
    identifier = stored()
    async with client_of(app_of()) as http:
        await http.patch(f"/audit/{identifier}", json={"labels": ["paper"], "note": "mine", "archived": True})
        await http.patch(f"/audit/{stored(1)}", json={"labels": ["other"]})
        redis.flushall()
        audit = (await http.get(f"/audit/{identifier}")).json()
        assert (audit["labels"], audit["note"], audit["archived"]) == (["paper"], "mine", True)
        redis.flushall()
        assert await listed(http, label="paper", archived="any") == [identifier]
        redis.flushall()
        # The first thing after the loss is a change, which must not hide what else there is.
        await http.patch(f"/audit/{identifier}", json={"labels": ["third"]})
        assert await listed(http, label="other") == [stored(1)]
        assert await listed(http, label="third", archived="any") == [identifier]


async def test_changes_by_another_process_show(app_of, stored):
    identifier, one, other = stored(), app_of(), app_of()
    async with client_of(one) as first, client_of(other) as second:
        assert await listed(first, label="late") == []
        await second.patch(f"/audit/{identifier}", json={"labels": ["late"]})
        one.state.annotations._fresh.expire()  # as half a second does
        assert (await first.get(f"/audit/{identifier}")).json()["labels"] == ["late"]
        assert await listed(first, label="late") == [identifier]


async def test_changes_at_the_same_time_keep_each_other(app_of, stored):
    identifier, one, other = stored(), app_of(), app_of()
    async with client_of(one) as first, client_of(other) as second:
        for number in range(5):
            changes = {"labels": [f"round{number}"]}, {"note": f"round {number}"}
            await asyncio.gather(
                first.patch(f"/audit/{identifier}", json=changes[0]),
                second.patch(f"/audit/{identifier}", json=changes[1]),
            )
            one.state.annotations._fresh.expire()
            audit = (await first.get(f"/audit/{identifier}")).json()
            assert (audit["labels"], audit["note"]) == (changes[0]["labels"], changes[1]["note"])


async def test_a_deleted_audit_is_gone_and_its_request_runs_anew(app_of, redis, tmp_path, stored):
    identifier, other = stored(0), stored(1)
    app = app_of()
    (tmp_path / "store" / "shards" / identifier / "plan").mkdir(parents=True)
    (tmp_path / "store" / "shards" / identifier / "plan" / "0-x.safetensors").write_bytes(b"x")
    (tmp_path / "store" / "explanations" / identifier).mkdir(parents=True)
    (tmp_path / "store" / "explanations" / identifier / "x.json").write_bytes(b"{}")
    async with client_of(app) as http:
        assert len((await http.get("/leaderboard")).json()["rows"]) == 1
        await http.patch(f"/audit/{identifier}", json={"labels": ["paper"]})
        compared = {"audits": f"{identifier},{other}"}
        assert (await http.get("/comparison", params=compared)).status_code == 200
        redis.set(kept_report_key(identifier), b"{}")
        gone = await http.delete(f"/audit/{identifier}?purge=true")
        assert gone.status_code == 200
        assert (gone.json()["id"], gone.json()["labels"]) == (identifier, ["paper"])
        for path in ("", "/report", "/figures"):
            assert is_problem(await http.get(f"/audit/{identifier}{path}"), 404, "unknown-audit")
        assert is_problem(await http.get("/comparison", params=compared), 404, "unknown-audit")
        assert [row["id"] for row in (await http.get("/leaderboard")).json()["rows"]] == [other]
        assert identifier not in app.state.summaries._summaries
        assert is_problem(await http.delete(f"/audit/{identifier}?purge=true"), 404, "unknown-audit")
        assert await listed(http, archived="any") == [other]
        assert {path for path in files_of(tmp_path) if identifier in path and not path.startswith("log/")} == {
            f"deleting/{identifier}"
        }
        assert not redis.exists(kept_report_key(identifier))
        app.state.recovery.check_accepted()
        redis.delete("zooaudit:restored")
        assert await listed(http) == [other]
        again = await http.post("/audit", json=ASK)
        assert (again.status_code, again.json()["id"], again.json()["status"]) == (202, identifier, "queued")
        assert "labels" not in again.json()


async def test_an_archived_audit_is_not_in_the_leaderboard(app_of, stored):
    identifier = stored()
    async with client_of(app_of()) as http:
        assert [row["id"] for row in (await http.get("/leaderboard")).json()["rows"]] == [identifier]
        await http.patch(f"/audit/{identifier}", json={"archived": True})
        assert (await http.get("/leaderboard")).json()["rows"] == []
        await http.patch(f"/audit/{identifier}", json={"archived": False})
        assert len((await http.get("/leaderboard")).json()["rows"]) == 1


async def test_an_audit_that_is_submitted_again_survives_the_end_of_its_deletion(
    app_of, redis, stored, store_report, monkeypatch, tmp_path
):
    monkeypatch.setattr(deletion, "FINISHED_AGAIN_AFTER", timedelta(0))
    identifier, app = stored(), app_of()
    async with client_of(app) as http:
        await http.delete(f"/audit/{identifier}?purge=true")
        assert (await http.post("/audit", json=ASK)).status_code == 202
        app.state.deletions.finish()
        assert (await http.get(f"/audit/{identifier}")).json()["status"] == "queued"
        assert f"accepted/{identifier}.json" in files_of(tmp_path)
        assert f"deleting/{identifier}" not in files_of(tmp_path)
        await http.delete(f"/audit/{identifier}")
        await http.delete(f"/audit/{identifier}?purge=true")
        store_report(report_of(AuditRequest(**ASK)))  # a second run has ended before the deletion has
        redis.flushall()
        app.state.deletions.finish()
        assert (await http.get(f"/audit/{identifier}/report")).status_code == 200


@pytest.mark.parametrize("fails_at", ["report_key", "remove", "drop"])
async def test_a_deletion_that_breaks_off_is_finished_by_whoever_comes_next(
    app_of, stored, monkeypatch, tmp_path, fails_at
):
    monkeypatch.setattr(deletion, "FINISHED_AGAIN_AFTER", timedelta(0))
    identifier, app = stored(), app_of()

    def fail(*_: object) -> None:
        raise StoreUnavailable("no answer")

    async with client_of(app) as http, client_of(app_of()) as other:
        await http.patch(f"/audit/{identifier}", json={"labels": ["paper"]})
        with monkeypatch.context() as broken:
            if fails_at == "report_key":
                broken.setattr(deletion, "shards_prefix", fail)
            else:
                part = app.state.queue if fails_at == "remove" else app.state.annotations
                broken.setattr(part, fails_at, fail)
            answer = await http.delete(f"/audit/{identifier}?purge=true")
            assert is_problem(answer, 503, "store-unavailable")
        if fails_at == "report_key":  # nothing is removed yet, so all is there
            assert (await http.get(f"/audit/{identifier}/report")).status_code == 200
        app_of().state.deletions.finish()
        assert is_problem(await other.get(f"/audit/{identifier}"), 404, "unknown-audit")
        assert [path for path in files_of(tmp_path) if not path.startswith("log/")] == []


async def test_another_process_forgets_a_report_that_was_deleted(app_of, stored):
    compared = {"audits": f"{stored(0)},{stored(1)}"}
    one, other = app_of(), app_of()
    async with client_of(one) as first, client_of(other) as second:
        assert (await second.get("/comparison", params=compared)).status_code == 200
        await first.delete(f"/audit/{audit_id(AuditRequest(**ASK))}?purge=true")
        other.state.deletions.finish()  # as its own thread does every few seconds
        assert is_problem(await second.get("/comparison", params=compared), 404, "unknown-audit")


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELED])
async def test_an_audit_without_a_report_is_deleted_too(http, set_status, status, tmp_path):
    identifier = (await http.post("/audit", json=ASK)).json()["id"]
    set_status(identifier, status)
    assert (await http.delete(f"/audit/{identifier}?purge=true")).status_code == 200
    assert is_problem(await http.get(f"/audit/{identifier}"), 404, "unknown-audit")
    assert f"accepted/{identifier}.json" not in files_of(tmp_path)


async def test_an_audit_that_has_not_ended_is_canceled_first(http, set_status):
    queued, running = [(await http.post("/audit", json={**ASK, "seed": seed})).json()["id"] for seed in (0, 1)]
    assert (await http.delete(f"/audit/{queued}?purge=true")).status_code == 200
    assert is_problem(await http.get(f"/audit/{queued}"), 404, "unknown-audit")
    set_status(running, JobStatus.STARTED, started_at=datetime.now(UTC))
    refused = await http.delete(f"/audit/{running}?purge=true")
    assert is_problem(refused, 409, "not-deletable")
    (entry,) = (await http.get("/log", params={"action": "cancel"})).json()["entries"]
    assert (entry["audit"], entry["result"]) == (running, "stopping")
    set_status(running, JobStatus.STOPPED)  # as its worker does it
    assert (await http.delete(f"/audit/{running}?purge=true")).status_code == 200


async def test_an_audit_that_is_storing_its_report_is_not_deleted(http, redis, set_status):
    identifier = (await http.post("/audit", json=ASK)).json()["id"]
    set_status(identifier, JobStatus.STARTED, started_at=datetime.now(UTC))
    redis.hset(f"zooaudit:audit:{identifier}", "outcome", "storing")
    answer = await http.delete(f"/audit/{identifier}?purge=true")
    assert is_problem(answer, 409, "not-deletable")
    assert "storing its report" in answer.json()["detail"]


async def test_the_log_says_who_did_what_and_survives_redis(app_of, redis, stored):
    app = app_of(api_keys=KEYS)
    identifier = stored(3)
    async with client_of(app) as http:
        asked = (await http.post("/audit", json=ASK, headers=SUBMIT)).json()["id"]
        await http.post("/audit", json=ASK, headers=ADMIN)  # exists, so nothing is done
        await http.delete(f"/audit/{asked}", headers=SUBMIT)
        await http.patch(f"/audit/{identifier}", json={"labels": ["x"], "archived": True}, headers=ADMIN)
        await http.patch(f"/audit/{identifier}", json={"labels": ["x"]}, headers=SUBMIT)  # changes nothing
        await http.delete(f"/audit/{identifier}?purge=true", headers=ADMIN)
        redis.flushall()
        entries = (await http.get("/log", headers=ADMIN)).json()["entries"]
        assert [(entry["who"], entry["action"], entry["audit"], entry["result"]) for entry in entries] == [
            ("keeper", "delete", identifier, "deleted"),
            ("keeper", "label", identifier, "changed"),
            ("keeper", "archive", identifier, "archived"),
            ("writer", "cancel", asked, "canceled"),
            ("writer", "submit", asked, "queued"),
        ]
        assert entries[1]["change"] == {"labels": ["x"]}
        assert {entry["model"] for entry in entries} == {ASK["model"]}
        assert {entry["address"] for entry in entries} == {"127.0.0.1"}
        assert "hands" not in str(entries)
        assert "house" not in str(entries)

        async def found(**query: str) -> list[str]:
            return [
                entry["action"] for entry in (await http.get("/log", params=query, headers=ADMIN)).json()["entries"]
            ]

        assert await found(action="submit") == ["submit"]
        assert await found(audit=asked) == ["cancel", "submit"]
        assert await found(since=entries[2]["at"]) == ["delete", "label", "archive"]
        for late in ("2999-01-01T00:00:00", "9999-12-31T23:59:59-12:00"):
            assert await found(since=late) == []
        assert len(await found(since="0001-01-01T00:00:00+12:00")) == 5
        page = (await http.get("/log", params={"limit": 2}, headers=ADMIN)).json()
        rest = (await http.get("/log", params={"limit": 3, "cursor": page["next_cursor"]}, headers=ADMIN)).json()
        assert page["entries"] + rest["entries"] == entries
        assert rest["next_cursor"] is None
        wrong = await http.get("/log", params={"cursor": "../x"}, headers=ADMIN)
        assert is_problem(wrong, 422, "invalid-request")


async def test_who_forges_the_address_is_not_believed(app_of):
    async with client_of(app_of()) as http:
        await http.post("/audit", json=ASK, headers={"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"})
        (entry,) = (await http.get("/log")).json()["entries"]
        assert (entry["who"], entry["address"]) == ("anonymous", "127.0.0.1")


async def test_roles_within_an_endpoint(app_of, stored):
    identifier = stored()
    async with client_of(app_of(api_keys=KEYS)) as http:
        await listed(http)
        for change, needed, allowed in (
            ({"labels": ["x"]}, "submit", (SUBMIT, ADMIN)),
            ({"note": "x"}, "submit", (SUBMIT, ADMIN)),
            ({"archived": True}, "admin", (ADMIN,)),
            ({"archived": False}, "admin", (ADMIN,)),
        ):
            for key in (READ, SUBMIT, ADMIN):
                answer = await http.patch(f"/audit/{identifier}", json=change, headers=key)
                if key in allowed:
                    assert answer.status_code == 200
                else:
                    assert is_problem(answer, 403, f"{'submit' if key is READ else needed}-key-needed")
        for key in (READ, SUBMIT):
            answer = await http.delete(f"/audit/{identifier}?purge=true", headers=key)
            assert is_problem(answer, 403, "submit-key-needed" if key is READ else "admin-key-needed")
            assert (await http.get(f"/audit/{identifier}/report")).status_code == 200
        assert (await http.delete(f"/audit/{identifier}?purge=true", headers=ADMIN)).status_code == 200


async def test_the_key_tells_what_it_is(app_of):
    app = app_of(api_keys=f"{KEYS},old", max_images_per_key_day=1000, max_queued_per_key=7)
    async with client_of(app) as http:
        await http.post("/audit", json=ASK, headers=SUBMIT)
        answer = (await http.get("/key", headers=SUBMIT)).json()
        assert answer == {
            "name": "writer",
            "role": "submit",
            "unfinished_audits": {"used": 1, "limit": 7},
            "images_in_24_h": {"used": 8 * 36, "limit": 1000},
        }
        assert (await http.get("/key")).json()["role"] == "read"
        old = (await http.get("/key", headers={"Authorization": "Bearer old"})).json()
        assert (old["role"], old["name"][:4]) == ("submit", "key-")
        assert is_problem(await http.get("/key", headers={"Authorization": "Bearer x"}), 401, "unauthorized")
    async with client_of(app_of()) as http:
        answer = (await http.get("/key")).json()
        assert (answer["name"], answer["role"], "limit" in answer["images_in_24_h"]) == ("anonymous", "admin", False)


async def test_a_key_may_ask_for_so_many_images_a_day(app_of, redis, set_status):
    app = app_of(api_keys=KEYS, max_images_per_key_day=600)  # each of these audits has 288
    async with client_of(app) as http:

        async def ask(seed: int, headers: dict[str, str] = SUBMIT, **query: str) -> httpx.Response:
            return await http.post("/audit", params=query, json={**ASK, "seed": seed}, headers=headers)

        first = (await ask(0)).json()["id"]
        assert (await ask(1)).status_code == 202
        assert (await ask(1)).status_code == 200  # exists, and costs nothing
        for refused in (await ask(2), await ask(2, dry_run="true")):
            assert is_problem(refused, 429, "too-many-images")
            assert "600 forward images in 24 hours and has 24 left; this audit has 288." in refused.json()["detail"]
            assert 86_000 < int(refused.headers["retry-after"]) <= 86_400
        assert (await ask(2, ADMIN)).status_code == 202  # the other key's quota is its own
        assert (await ask(0)).status_code == 200
        set_status(first, JobStatus.FAILED)
        app.state.rows.expire()
        assert (await ask(0)).status_code == 429  # it would run again
        huge = await http.post("/audit", json={**ASK, "num_images": 1000}, headers=SUBMIT)
        assert is_problem(huge, 429, "too-many-images")
        assert "retry-after" not in huge.headers
        assert (await http.get("/key", headers=SUBMIT)).json()["images_in_24_h"] == {"used": 576, "limit": 600}
        (name,) = [name for name in redis.keys("zooaudit:images:*") if redis.zcard(name) == 2]
        redis.zadd(name, dict.fromkeys(redis.zrange(name, 0, 0), 1.0))  # a day passes for the first of them
        assert (await ask(3)).status_code == 202
        assert b"hands" not in b"".join(redis.keys("*"))


async def test_requests_at_the_same_time_get_no_more_images(app_of):
    async with client_of(app_of(max_images_per_key_day=600)) as http:
        answers = await asyncio.gather(*(http.post("/audit", json={**ASK, "seed": seed}) for seed in range(10)))
        assert Counter(answer.status_code for answer in answers) == {202: 2, 429: 8}


def test_what_is_refused_takes_no_images_from_others_meanwhile(redis):
    quota = Quota(redis, 10, 600)
    small, large = AuditRequest(**ASK), AuditRequest(**{**ASK, "num_images": 1000})

    def read_rows_while_another_asks() -> dict[str, AuditRow]:
        quota.take(None, small, dict)
        return {}

    with pytest.raises(Refused):
        quota.take(None, large, read_rows_while_another_asks)
    assert quota.use(None, dict)[1].used == 288


def test_one_audit_asked_for_twice_at_the_same_time_is_not_too_much(redis):
    quota, request = Quota(redis, 10, 288), AuditRequest(**ASK)
    first = quota.take(None, request, dict)
    quota.give_back(None, quota.take(None, request, dict))  # the first is not among the rows yet
    assert quota.use(None, dict)[1].used == 288
    with pytest.raises(Refused):
        quota.take(None, AuditRequest(**ASK, seed=1), dict)
    quota.give_back(None, first)
    quota.take(None, AuditRequest(**ASK, seed=1), dict)


def kept(app: Any) -> Retention:
    return app.state.retention


async def test_audits_are_removed_by_age_and_number_but_for_those_to_keep(app_of, redis, stored):
    ids = [stored(seed, days) for seed, days in enumerate((1, 5, 10, 20, 40))]
    queued = AuditRequest(**ASK, seed=99)
    async with client_of(app_of()) as http:
        waiting = (await http.post("/audit", json=queued.model_dump(mode="json"))).json()["id"]
        redis.zadd("zooaudit:audits", {waiting: 1.0})  # as old as can be, and not ended
        await http.patch(f"/audit/{ids[3]}", json={"labels": ["keep"]})
        assert len(await listed(http)) == 6
        kept(app_of()).remove_expired()
        assert len(await listed(http)) == 6  # off by default
        kept(app_of(keep_days=30)).remove_expired()
        assert set(await listed(http)) == {waiting, *ids[:4]}
        kept(app_of(keep_days=30, keep_audits=2)).remove_expired()
        assert set(await listed(http)) == {waiting, ids[0], ids[1], ids[3]}
        log = (await http.get("/log", params={"action": "retention"})).json()["entries"]
        assert [(entry["who"], entry["audit"], entry["result"]) for entry in log] == [
            ("retention", ids[2], "deleted"),
            ("retention", ids[4], "deleted"),
        ]


async def test_an_imported_audit_is_as_old_as_its_import(app_of, stored):
    old = [stored(seed, 50) for seed in range(2)]
    report = sealed(report_of(AuditRequest(**ASK, seed=9), started_at=datetime.now(UTC) - timedelta(days=400)))
    app = app_of(keep_days=30, keep_audits=2)
    async with client_of(app) as http:
        assert set(await listed(http)) == set(old)
        answer = await http.post(
            "/reports", content=report.model_dump_json(), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 201
        kept(app).remove_expired()
        assert await listed(http) == [report.id]


async def test_audits_to_keep_are_known_after_redis_was_emptied(app_of, redis, stored):
    kept_one, other = stored(0, 50), stored(1, 50)
    app = app_of(keep_days=30)
    async with client_of(app) as http:
        await http.patch(f"/audit/{kept_one}", json={"labels": ["keep"]})
        catalogue = redis.hgetall(CATALOGUE_KEY)
        redis.flushall()
        redis.hset(CATALOGUE_KEY, mapping=catalogue)
        kept(app).remove_expired()
        assert set(await listed(http)) == {kept_one, other}  # nothing is removed before all is known
        kept(app).remove_expired()
        assert await listed(http) == [kept_one]


async def test_a_running_service_removes_by_itself(app_of, redis, stored, monkeypatch):
    monkeypatch.setattr(retention, "CHECK_EVERY_S", 0.05)
    newest, older = stored(0, 1), stored(1, 2)
    redis.set("zooaudit:annotations:version", "from before a process died")
    app = app_of(keep_audits=1)
    async with client_of(app) as http:
        assert set(await listed(http)) == {newest, older}
        async with app.router.lifespan_context(app):
            while redis.exists(f"rq:job:{older}"):
                await asyncio.sleep(0.05)
        assert await listed(http) == [newest]
        assert redis.get("zooaudit:annotations:version") != b"from before a process died"


async def test_several_processes_remove_each_audit_once(app_of, stored):
    for number in range(6):
        stored(number, 50 + number)
    apps = [app_of(keep_audits=1) for _ in range(3)]
    async with client_of(apps[0]) as http:
        assert len(await listed(http)) == 6
        await asyncio.gather(*(asyncio.to_thread(kept(app).remove_expired) for app in apps))
        assert await listed(http) == [audit_id(AuditRequest(**ASK))]


async def test_an_audit_that_was_just_asked_for_again_stays(app_of, set_status, monkeypatch):
    app = app_of(api_keys=KEYS, keep_audits=1)
    async with client_of(app) as http:
        ids = []
        for seed in range(2):
            ids.append((await http.post("/audit", json={**ASK, "seed": seed}, headers=SUBMIT)).json()["id"])
            set_status(ids[-1], JobStatus.FAILED, ended_at=datetime(2026, 1, 1 + seed, tzinfo=UTC))
        app.state.rows.expire()
        await listed(http)
        rows = app.state.rows.by_id()
        assert (await http.post("/audit", json={**ASK, "seed": 0}, headers=SUBMIT)).status_code == 202
        monkeypatch.setattr(app.state.rows, "by_id", lambda: rows)  # read half a second ago
        kept(app).remove_expired()
        assert (await http.get(f"/audit/{ids[0]}")).json()["status"] == "queued"
        entries = (await http.get("/log", params={"action": "retention"}, headers=ADMIN)).json()["entries"]
        assert entries == []
        assert not list(app.state.deletions._begun())


def test_a_change_that_says_nothing_changes_nothing():
    assert AnnotationsChange().model_dump_json() == "{}"
