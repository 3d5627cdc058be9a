"""What a key of each role may do, at every endpoint of the OpenAPI document."""

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import ValidationError
from zooaudit.contract.settings import faults_of

from service.api_keys import entries_with_misspelt_roles, parse_keys
from service.app import create_app
from service.settings import ServiceSettings
from tests.fakes import ASK, is_problem

KEYS = {"read": "eyes", "submit": "hands", "admin": "house", "old": "sesame:open:wide"}
SETTING = "Reader:read:eyes,writer.2:submit:hands,keeper:admin:house,sesame:open:wide"
RANKS = ("read", "submit", "admin")
OPEN = {("get", "/health")}
"""The endpoints that never ask for a key."""


def bearer(role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS.get(role, role)}"}


@pytest.fixture(params=[False, True], ids=["reading is free", "keys guard reads"])
async def guarded(request, redis_server, published, tmp_path) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001 - only its effect on Redis is needed
    settings = ServiceSettings(
        redis_url=redis_server.url, store=str(tmp_path / "store"), api_keys=SETTING, keys_guard_reads=request.param
    )
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://audits.example") as client:
        client.guards_reads = request.param
        yield client


async def test_every_endpoint_takes_the_keys_of_its_role_and_no_others(guarded):
    document = (await guarded.get("/openapi.json")).json()
    checked = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if (method, path) in OPEN:
                assert "x-role" not in operation
                continue
            needed = operation["x-role"]  # an endpoint that declares none is a mistake
            for given in (None, "wrong", "read", "submit", "old", "admin"):
                answer = await ask(guarded, method, path, given)
                rank = RANKS.index("submit" if given == "old" else given) if given in KEYS else -1
                is_read_by_anybody = (
                    needed == "read" and not guarded.guards_reads and (path, given) != ("/key", "wrong")
                )
                where = (method, path, given, answer.status_code, answer.text)
                if rank >= RANKS.index(needed) or is_read_by_anybody:
                    assert answer.status_code not in (401, 403, 500), where
                elif rank < 0:
                    assert is_problem(answer, 401, "unauthorized"), where
                else:
                    assert is_problem(answer, 403, f"{needed}-key-needed"), where
                checked.add((needed, given))
    assert {needed for needed, _ in checked} >= {"read", "submit"}


async def ask(http: httpx.AsyncClient, method: str, path: str, given: str | None) -> httpx.Response:
    """Send a request that the endpoint refuses if the key does not, so that the next one finds everything as it was."""
    url = path.replace("{identifier}", "0" * 32).replace("{name}", "resnet18")
    headers = bearer(given) if given else {}
    return await http.request(method, url, headers=headers, json={} if method in ("post", "patch", "put") else None)


async def test_an_old_key_does_what_it_did(guarded):
    asked = await guarded.post("/audit", json=ASK, headers=bearer("old"))
    assert asked.status_code == 202
    path = asked.headers["location"]
    assert (await guarded.delete(path, headers=bearer("old"))).json()["status"] == "canceled"


async def test_a_refusal_names_the_role_that_is_needed(guarded):
    refused = await guarded.post("/audit", json=ASK, headers=bearer("read"))
    assert is_problem(refused, 403, "submit-key-needed")
    assert refused.json()["detail"] == "This needs a key of the role submit; the role of Reader is read."


async def test_without_keys_everybody_may_do_everything(http):
    document = (await http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method in operations:
            assert (await ask(http, method, path, None)).status_code not in (401, 403, 500), (method, path)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("a:read:x,a:admin:y", "two keys have the name a"),
        ("a:read:x,b:admin:x", "the key of a has two names or roles"),
        ("a:read:", "the key of a is missing; write a:read:KEY"),
        ("a:read", "the key of a is missing; write a:read:KEY"),
        (":read:secret", "the name before :read: has other characters"),
        ("key-1:read:secret", "begins with 'key-'"),
        ("anonymous:admin:secret", "no key can have the name anonymous"),
    ],
)
def test_keys_that_cannot_be_told_apart_or_used_are_refused(setting, words):
    with pytest.raises(ValidationError) as refused:
        ServiceSettings(api_keys=setting)
    (fault,) = faults_of(refused.value)
    assert words in fault
    assert "secret" not in fault


def test_a_key_of_the_old_form_may_hold_colons_and_be_written_twice():
    keys = parse_keys(["a:b:c", "a", "a:b", ":", "a"])
    assert [key.secret for key in keys] == ["a:b:c", "a", "a:b", ":"]
    assert {key.role for key in keys} == {"submit"}
    assert len({key.name for key in keys}) == 4
    assert not any(key.secret in repr(key) for key in keys if key.secret == "a:b:c")


def test_a_misspelt_role_is_pointed_at():
    assert entries_with_misspelt_roles(["lab:Admin:x", "lab:read:x", "abc", "a:1:2"]) == [1]
