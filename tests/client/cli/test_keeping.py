"""``zooaudit label``, ``archive``, ``delete``, ``log`` and ``key`` against a running service with keys of each role."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from zooaudit import AuditClient, NotFound, Unauthorized
from zooaudit.cli.entry import run
from zooaudit.contract import AuditRequest, report_key

from service.stack import Stack, running
from tests.fakes import ASK, report_of

REPORTS = [report_of(AuditRequest(**ASK, repetition=number)) for number in range(4)]
FIRST, SECOND, THIRD, FOURTH = (report.id for report in REPORTS)
KEYS = {"ZOOAUDIT_API_KEYS": "reader:read:eyes,writer:submit:hands,keeper:admin:house"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Iterator[Stack]:
    """A service whose store has four reports."""
    folder: Path = tmp_path_factory.mktemp("kept")
    for report in REPORTS:
        path = folder / "store" / report_key(report.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.model_dump_json())
    with running(folder, workers=0, env=KEYS) as stack:
        yield stack


@pytest.fixture
def zooaudit(kept, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Run a command line with the key of a role."""

    def call(key: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("ZOOAUDIT_API_KEY", key)
        code = run(["--url", kept.url, *arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_labels_and_notes(zooaudit):
    code, out, _ = zooaudit("hands", "label", FIRST, "paper", "keep", "--note", "ran twice")
    assert code == 0
    assert [line.split(None, 1) for line in out.splitlines() if line.startswith(("Labels", "Note"))] == [
        ["Labels", "paper, keep"],
        ["Note", "ran twice"],
    ]
    assert zooaudit("hands", "label", FIRST, "new", "--remove", "keep")[0] == 0
    audit = json.loads(zooaudit("eyes", "label", FIRST, "--json")[1])
    assert (audit["labels"], audit["note"]) == (["paper", "new"], "ran twice")
    assert zooaudit("eyes", "status", FIRST)[1].splitlines()[1:] == ["Labels: paper, new", "> ran twice"]
    listed = zooaudit("eyes", "list", "--label", "paper")[1]
    assert len(listed.splitlines()) == 2
    assert listed.splitlines()[0].endswith("Labels")
    assert listed.splitlines()[1].endswith("paper new")
    code, _, err = zooaudit("hands", "label", FIRST, "--remove", "keep")
    assert (code, err) == (2, f"Audit {FIRST} has no label keep.\n")
    code, _, err = zooaudit("hands", "label", FIRST, "two words")
    assert code == 2
    assert "two words" in err


def test_a_key_that_may_not_is_told_which_could(zooaudit):
    code, _, err = zooaudit("eyes", "label", FIRST, "paper")
    assert (code, err) == (4, "This needs a key of the role submit; the role of reader is read.\n")
    for command in (["delete", FIRST], ["archive", FIRST], ["log"]):
        code, _, err = zooaudit("hands", *command)
        assert (code, err) == (4, "This needs a key of the role admin; the role of writer is submit.\n")
    code, _, err = zooaudit("wrong", "key")
    assert code == 4
    assert "does not know the key in ZOOAUDIT_API_KEY" in err


def test_what_a_key_is(zooaudit):
    assert zooaudit("hands", "key")[1] == (
        "writer (submit): 0 of 10,000 unfinished audits, 0 forward images in 24 hours\n"
    )
    assert json.loads(zooaudit("house", "key", "--json")[1])["role"] == "admin"


def test_archive_and_delete_and_the_log_of_it(zooaudit):
    assert zooaudit("house", "archive", SECOND, THIRD[:8])[1].count("archived") == 2
    assert SECOND not in zooaudit("eyes", "list")[1]
    assert SECOND in zooaudit("eyes", "list", "--archived", "true")[1]
    assert zooaudit("house", "archive", SECOND, "--undo")[0] == 0
    assert SECOND in zooaudit("eyes", "list")[1]
    code, out, err = zooaudit("house", "delete", SECOND, "0" * 32, THIRD)
    assert code == 4
    assert out == f"Audit {SECOND} of {ASK['model']}: deleted\n"
    assert err.splitlines() == [f"2 audits not deleted: {'0' * 32} {THIRD}", "There is no audit with this id."]
    assert zooaudit("eyes", "status", SECOND)[0] == 4
    code, out, _ = zooaudit("house", "log", "--audit", SECOND)
    assert code == 0
    assert [line.split()[2:5] for line in out.splitlines()[1:]] == [
        ["keeper", "delete", "deleted"],
        ["keeper", "archive", "unarchived"],
        ["keeper", "archive", "archived"],
    ]
    assert len(json.loads(zooaudit("house", "log", "--action", "archive", "--limit", "2", "--json")[1])) == 2
    assert zooaudit("house", "log", "--since", "2999-01-01")[2] == "No entries.\n"
    assert zooaudit("house", "log", "--since", "yesterday")[0] == 2


def test_the_log_has_the_address_that_the_request_came_from(kept):
    headers = {"Authorization": "Bearer hands", "X-Forwarded-For": "203.0.113.9"}
    httpx.patch(f"{kept.url}/audit/{FOURTH}", json={"note": "from here"}, headers=headers)
    with AuditClient(kept.url, api_key="house") as client:
        assert next(client.log(audit=FOURTH)).address == "127.0.0.1"
        client.annotate(FOURTH, note="")


def test_the_libraries_do_the_same(kept):
    with AuditClient(kept.url, api_key="house") as client:
        labelled = client.annotate(FOURTH, labels=["a", "b"], note="x")
        assert (labelled.labels, labelled.note, labelled.archived) == (("a", "b"), "x", False)
        assert client.annotate(FOURTH, archived=True).archived
        assert [audit.id for audit in client.audits(label="a", archived="any")] == [FOURTH]
        assert list(client.audits(label="a")) == []
        assert client.access().name == "keeper"
        assert client.delete(FOURTH).id == FOURTH
        with pytest.raises(NotFound):
            client.status(FOURTH)
        entries = list(client.log(audit=FOURTH))
        assert [entry.action for entry in entries] == ["delete", "archive", *["label"] * len(entries[2:])]
        assert [entry.action for entry in client.log(audit=FOURTH, since=entries[1].at, limit=5)] == [
            "delete",
            "archive",
        ]
    with AuditClient(kept.url, api_key="hands") as client, pytest.raises(Unauthorized, match="role admin"):
        list(client.log())
