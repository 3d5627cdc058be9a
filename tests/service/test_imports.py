"""Reports that were measured elsewhere join the store, unless they were changed or the store has another."""

import json
from typing import Any

import httpx
import pytest
from rq.job import JobStatus
from zooaudit.contract import Audit, AuditRequest, Report, import_key, report_key, sealed
from zooaudit.contract.seal import seal_of

from service.app import create_app
from service.security import MAX_REPORT_BYTES
from service.settings import ServiceSettings
from tests.fakes import ASK, is_problem, report_of

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def measured() -> Report:
    return sealed(report_of(AuditRequest(**ASK)))


async def post(http: httpx.AsyncClient, content: str | bytes, **headers: str) -> httpx.Response:
    return await http.post("/reports", content=content, headers={**JSON, **headers})


async def test_a_report_joins_the_store_byte_for_byte_and_its_audit_has_succeeded(http, measured):
    content = measured.model_dump_json(indent=1)
    answer = await post(http, content)
    assert answer.status_code == 201, answer.text
    audit = Audit.model_validate_json(answer.content)
    assert answer.headers["location"] == audit.links.self == f"/audit/{measured.id}"
    assert (audit.status, audit.request, audit.finished_at) == (
        "succeeded",
        AuditRequest(**ASK),
        measured.timing.finished_at,
    )
    assert audit.imported is not None
    assert audit.imported.who == "anonymous"
    assert (await http.get(f"/audit/{measured.id}/report")).text == content
    assert Audit.model_validate_json((await http.get(f"/audit/{measured.id}")).content) == audit
    assert [row["id"] for row in (await http.get("/audit?status=succeeded")).json()["audits"]] == [measured.id]
    asked = await http.post("/audit", json=ASK)
    assert (asked.status_code, Audit.model_validate_json(asked.content)) == (200, audit)


@pytest.mark.parametrize(
    ("name", "twice"), [('"id":', '"id":"0",'), ('"channel":', '"channel":0.5,'), ('"seconds":', '"seconds":0,')]
)
async def test_no_other_value_hides_behind_one_of_the_same_name(http, measured, name, twice):
    """The seal is that of the last value; some read the first."""
    content = measured.model_dump_json()
    assert name in content
    refused = await post(http, content.replace(name, f"{name}{twice.removeprefix(name)}{name}", 1))
    assert is_problem(refused, 422, "report-altered")
    assert f"the name {json.loads(name.removesuffix(':'))} twice" in refused.json()["detail"]
    assert (await http.get(f"/audit/{measured.id}")).status_code == 404


async def test_the_same_report_again_changes_nothing_however_it_is_written(http, measured):
    first = await post(http, measured.model_dump_json())
    again = await post(http, measured.model_dump_json(indent=2))
    assert (again.status_code, again.json()) == (200, first.json())
    assert (await http.get(f"/audit/{measured.id}/report")).text == measured.model_dump_json()


async def test_an_import_stays_marked_when_redis_has_lost_everything(http, redis, measured):
    audit = (await post(http, measured.model_dump_json())).json()
    redis.flushall()
    assert (await http.get(f"/audit/{measured.id}")).json() == audit
    redis.flushall()
    assert (await http.get("/audit")).json()["audits"] == [audit]


@pytest.mark.parametrize(
    "path",
    ["parts.Late.rotation.channel", "timing.seconds", "model.weights.sha256", "images.seed", "environment.device"],
)
async def test_a_report_that_was_changed_by_hand_is_refused(http, measured, tmp_path, path):
    body = json.loads(measured.model_dump_json())
    *parents, last = path.split(".")
    place: Any = body
    for key in parents:
        place = place[key]
    place[last] = {str: "changed", int: 7, float: 0.5}[type(place[last])]
    assert is_problem(await post(http, json.dumps(body)), 422, "report-altered")
    assert not (tmp_path / "store" / report_key(measured.id)).exists()
    assert (await http.get(f"/audit/{measured.id}")).status_code == 404


async def test_a_report_under_the_id_of_another_request_is_refused_though_its_seal_is_right(http, measured):
    other = report_of(AuditRequest(**ASK, seed=1)).id
    answer = await post(http, sealed(measured.model_copy(update={"id": other})).model_dump_json())
    assert is_problem(answer, 422, "report-altered")
    assert measured.id in answer.json()["detail"]


async def test_what_cannot_be_checked_is_refused(http, measured):
    unsealed = report_of(AuditRequest(**ASK)).model_dump_json()
    assert is_problem(await post(http, unsealed), 422, "report-unsealed")
    older = sealed(measured.model_copy(update={"protocol": "0"})).model_dump_json()
    assert is_problem(await post(http, older), 422, "report-unsealed")
    later = sealed(measured.model_copy(update={"protocol": "2"})).model_dump_json()  # it has nothing of version 2
    assert is_problem(await post(http, later), 422, "report-altered")
    assert is_problem(await post(http, "{"), 400, "malformed-json")
    assert is_problem(await post(http, "[]"), 422, "invalid-request")
    huge = measured.model_dump_json().replace('"threads":1', f'"threads":{"9" * 5000}')
    assert is_problem(await post(http, huge), 400, "malformed-json")
    nothing = measured.model_copy(
        update={"method": measured.method.model_copy(update={"translations_px": (), "rotations_deg": ()})}
    )
    answer = await post(http, sealed(nothing).model_dump_json())
    assert is_problem(answer, 422, "invalid-request")
    assert "ask for at least one translation, rotation, reflection or warp" in answer.json()["detail"]
    assert is_problem(await post(http, unsealed, **{"Content-Type": "text/plain"}), 415, "unsupported-media-type")
    assert is_problem(await post(http, b" " * (MAX_REPORT_BYTES + 1)), 413, "body-too-large")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("timing.finished_at", "9999-12-31T23:59:59-23:59"),
        ("timing.started_at", "0001-01-01T00:00:00+23:59"),
        ("timing.finished_at", "2024-01-01T00:00:00"),
        ("timing.finished_at", "2199-01-01T00:00:00Z"),
        ("images.count", "8"),
        ("images.count", -1),
        ("parts.Late.rotation.channel", "0.5"),
        ("parts.Late.blocks", True),
        ("model.parameters", 10**400),
        ("model.imagenet_top1", 1e300),
        ("blocks.0.channels", 10**400),
        ("deviations", {"images": [8], "parts": {}}),
    ],
)
async def test_what_no_audit_measures_is_refused_though_its_seal_is_right(http, measured, tmp_path, path, value):
    body = json.loads(measured.model_dump_json())
    *parents, last = path.split(".")
    place: Any = body
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    body["environment"]["report_sha256"] = seal_of(body)
    answer = await post(http, json.dumps(body))
    assert is_problem(answer, 422, "invalid-request")
    assert parents == [] or path in answer.json()["detail"]
    assert not (tmp_path / "store" / report_key(measured.id)).exists()


async def test_deviations_have_a_number_for_each_group(http, measured):
    of_scores = {"channel": [0.1, -0.1], "layer": None, "layer_held_out": None}
    parts = {part: {"translation": of_scores, "rotation": of_scores} for part in measured.parts}
    body = json.loads(measured.model_dump_json())
    for images, status in (([4], 422), ([0, 8], 422), ([4, 4], 201)):
        body["deviations"] = {"images": images, "parts": parts}
        body["environment"]["report_sha256"] = seal_of(body)
        assert (await post(http, json.dumps(body))).status_code == status


async def test_a_report_that_cannot_be_restored_keeps_no_other_away(http, app, redis, measured, store_report):
    other = report_of(AuditRequest(**ASK, seed=1))
    for one in (measured, other):
        store_report(one)
    nothing = measured.model_copy(
        update={"method": measured.method.model_copy(update={"translations_px": (), "rotations_deg": ()})}
    )
    store_report(nothing)
    redis.flushall()
    assert [audit["id"] for audit in (await http.get("/audit")).json()["audits"]] == [other.id]
    assert app.state.queue.is_restored()
    assert (await http.get(f"/audit/{measured.id}")).status_code == 404


async def test_nothing_in_the_store_is_replaced(http, measured, store_report):
    mine = report_of(AuditRequest(**ASK), started_at=measured.timing.started_at)
    store_report(mine)
    answer = await post(http, measured.model_dump_json())
    assert is_problem(answer, 409, "report-not-wanted")
    assert (await http.get(f"/audit/{measured.id}/report")).text == mine.model_dump_json()
    assert "imported" not in (await http.get(f"/audit/{measured.id}")).json()


async def test_the_report_that_a_worker_stored_is_not_marked_when_another_came_first(http, measured, tmp_path):
    other = sealed(measured.model_copy(update={"blocks": ()}))
    assert (await post(http, other.model_dump_json())).status_code == 201
    # As if this one had been stored between the note on the import and the report itself.
    (tmp_path / "store" / report_key(measured.id)).write_text(measured.model_dump_json())
    answer = await post(http, other.model_dump_json())
    assert is_problem(answer, 409, "report-not-wanted")
    assert (tmp_path / "store" / import_key(other.id, other.environment.report_sha256)).exists()
    assert not (tmp_path / "store" / import_key(measured.id, measured.environment.report_sha256)).exists()


async def test_a_damaged_report_is_replaced(http, measured, tmp_path):
    path = tmp_path / "store" / report_key(measured.id)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert (await post(http, measured.model_dump_json())).status_code == 201
    assert path.read_text() == measured.model_dump_json()


async def test_an_audit_that_is_in_the_queue_is_left_to_be_measured(http, measured):
    assert (await http.post("/audit", json=ASK)).status_code == 202
    answer = await post(http, measured.model_dump_json())
    assert is_problem(answer, 409, "report-not-wanted")
    assert "queued" in answer.json()["detail"]


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELED])
async def test_an_audit_that_failed_here_succeeds_by_the_import(http, measured, set_status, status):
    assert (await http.post("/audit", json=ASK)).status_code == 202
    set_status(measured.id, status)
    assert (await post(http, measured.model_dump_json())).status_code == 201
    audit = (await http.get(f"/audit/{measured.id}")).json()
    assert (audit["status"], audit["error"]) == ("succeeded", None)
    assert (await http.get("/audit")).json()["audits"] == [audit]


async def test_an_import_needs_an_admin_whom_the_audit_and_the_log_name(redis_server, redis, measured, tmp_path):  # noqa: ARG001
    keys = "ops:admin:first,anna:submit:second"
    settings = ServiceSettings(redis_url=redis_server.url, store=str(tmp_path / "other"), api_keys=keys)
    transport = httpx.ASGITransport(create_app(settings))
    admin = {"Authorization": "Bearer first"}
    async with httpx.AsyncClient(transport=transport, base_url="http://audits.example") as http:
        content = measured.model_dump_json()
        assert is_problem(await post(http, content), 401, "unauthorized")
        assert is_problem(await post(http, content, Authorization="Bearer second"), 403, "admin-key-needed")
        answer = await post(http, content, **admin)
        assert (answer.status_code, answer.json()["imported"]["who"]) == (201, "ops")
        assert "first" not in answer.text
        (entry,) = (await http.get("/log", headers=admin)).json()["entries"]
        assert (entry["who"], entry["action"], entry["audit"], entry["result"]) == (
            *("ops", "import", measured.id),
            "imported",
        )


async def test_a_deleted_import_leaves_nothing(http, measured, tmp_path):
    await post(http, measured.model_dump_json())
    deleted = await http.delete(f"/audit/{measured.id}", params={"purge": "true"})
    assert deleted.status_code in (200, 204), deleted.text
    assert not (tmp_path / "store" / import_key(measured.id, measured.environment.report_sha256)).exists()
    assert not (tmp_path / "store" / report_key(measured.id)).exists()
