"""POST /audits: each request is answered as it would be alone, in order, and the same batch again asks for nothing."""

import pytest
from zooaudit.contract import MAX_BATCH, BatchAnswers

from tests.fakes import ASK, is_problem


def batch(*changes: dict) -> dict:
    return {"audits": [ASK | change for change in changes]}


async def asked(http, body: dict, **query) -> BatchAnswers:
    answer = await http.post("/audits", json=body, params=query)
    assert answer.status_code == 200, answer.text
    return BatchAnswers.model_validate_json(answer.content)


async def test_each_request_is_answered_as_alone(http):
    body = batch({}, {"model": "resnet51"}, {"seed": 1}, {"num_images": 0}, {"seed": 1}, {"weights": 7})
    found = (await asked(http, body)).answers
    assert [answer.status for answer in found] == [202, 422, 202, 422, 200, 422]
    for one, answer in zip(body["audits"], found, strict=True):
        alone = (await http.post("/audit", json=one)).json()
        if answer.audit:
            assert alone["id"] == answer.audit.id
        else:
            assert alone == answer.problem.model_dump(mode="json", exclude_none=True)
    assert found[2].audit.id == found[4].audit.id
    assert "resnet50" in str(found[1].problem.suggestions)


async def test_the_same_batch_again_enqueues_nothing(http):
    body = batch(*({"seed": seed} for seed in range(5)))
    first, again = [(await asked(http, body)).answers for _ in range(2)]
    assert [answer.status for answer in first] == [202] * 5
    assert [answer.status for answer in again] == [200] * 5
    assert [answer.audit.id for answer in first] == [answer.audit.id for answer in again]
    assert (await http.get("/audit")).json()["total"] == 5


async def test_a_dry_run_accepts_nothing(http):
    found = (await asked(http, batch({}, {"model": "resnet51"}), dry_run="true")).answers
    assert found[0].cost.forward_images > 0
    assert found[1].problem.status == 422
    assert (await http.get("/audit")).json()["total"] == 0


@pytest.mark.parametrize(
    ("body", "slug", "words"),
    [
        ("{", "malformed-json", ""),
        ('{"audits": {}}', "invalid-request", "a list of requests is needed"),
        ("[]", "invalid-request", "a list of requests is needed"),
        ('{"audits": []}', "invalid-request", f"1 to {MAX_BATCH} audits can be asked for at once, not 0"),
        ('{"audits": [' + ",".join(["{}"] * 501) + "]}", "invalid-request", "not 501"),
        ('{"audits": [], "dry_run": []}', "invalid-request", "nothing else"),
    ],
)
async def test_what_is_no_batch_is_refused_as_a_whole(http, body, slug, words):
    answer = await http.post("/audits", content=body, headers={"Content-Type": "application/json"})
    assert is_problem(answer, 400 if slug == "malformed-json" else 422, slug)
    assert words in answer.json()["detail"]


async def test_a_batch_may_be_larger_than_a_request_and_not_without_limit(http):
    large = batch(*({"seed": seed, "model": "timm/" + "x" * 120} for seed in range(400)))
    assert [answer.status for answer in (await asked(http, large)).answers] == [422] * 400
    answer = await http.post("/audits", content=" " * 2**21, headers={"Content-Type": "application/json"})
    assert is_problem(answer, 413, "body-too-large")


async def test_below_v1_everything_means_the_same_and_addresses_stay_there(http):
    posted = await http.post("/v1/audit", json=ASK)
    identifier = posted.json()["id"]
    assert posted.headers["location"] == posted.json()["links"]["self"] == f"/v1/audit/{identifier}"
    assert (await http.get(f"/v1/audit/{identifier}")).json()["id"] == identifier
    proxied = await http.get(f"/v1/audit/{identifier}", headers={"X-Forwarded-Prefix": "/zoo"})
    assert proxied.json()["links"]["self"] == f"/zoo/v1/audit/{identifier}"
    assert (await http.get(f"/audit/{identifier}")).json()["links"]["self"] == f"/audit/{identifier}"
    assert (await http.get("/v1/openapi.json")).json()["servers"] == [{"url": "/v1"}]
    assert "servers" not in (await http.get("/openapi.json")).json()
    assert (await http.put("/v1/audit")).headers["allow"] == "GET, HEAD, OPTIONS, POST"
    for path in ("/v1/v1/audit", "/v2/audit", "/v1audit", "/v1"):
        assert (await http.get(path)).status_code == 404
