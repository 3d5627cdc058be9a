"""``zooaudit status`` tells how far an audit is, and while several workers measure it, who measures what."""

import json

from zooaudit import Audit, AuditClient
from zooaudit.cli import commands
from zooaudit.cli.parser import make_parser

from tests.client.samples import Script, answer, audit, sharing

RUNNING = audit("running", phase="measuring", done=640, total=2560, eta_s=40)
LINE = "timm/resnet18.a1_in1k (pretrained): measuring 640/2560 forward images (25 %), 40 s left"


def status(now: Audit, *arguments: str) -> int:
    with AuditClient("http://service.test", transport=Script(answer(now))) as client:
        return commands.status(client, make_parser().parse_args(["status", now.id, *arguments]))


def test_an_audit_that_is_not_shared_out_is_a_line(capsys):
    assert status(RUNNING) == 0
    assert capsys.readouterr().out == f"{LINE}\n"


def test_the_shards_stand_below_it(capsys):
    assert status(RUNNING.model_copy(update={"sharing": sharing()})) == 0
    first, second, *table = capsys.readouterr().out.splitlines()
    assert first == LINE
    assert second == "3 workers take part; 9 transforms wait; 1,280 forward images were measured again."
    assert [line.split("  ")[0] for line in table] == [
        "Transforms",
        "1-12 px, 90°",
        "13, 15, 17, 19, 21, 23 px",
        "14, 16, 18, 20, 22, 24 px",
        "untrained, seed 0: 1-32 px",
    ]


def test_json_has_them_as_the_service_sends_them(capsys):
    shared = RUNNING.model_copy(update={"sharing": sharing()})
    assert status(shared, "--json") == 0
    out = capsys.readouterr().out
    assert json.loads(out) == json.loads(shared.model_dump_json())
    assert json.loads(out)["sharing"]["shards"][0]["transforms"][:2] == ["1 px", "2 px"]
