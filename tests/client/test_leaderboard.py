"""The leaderboard in both clients and on the command line: what is asked, what is shown, and what is missing."""

import io
import json
from contextlib import redirect_stdout

import httpx
import pytest
from zooaudit import AuditClient, Leaderboard
from zooaudit.cli import make_parser
from zooaudit.cli.entry import reporting_errors
from zooaudit.contract import MeasuredMethod, leaderboard_number, leaderboard_row, summary_of

from tests.client.samples import CLIENTS, Script, answer, got, report, whole_report


def board(pending: int = 0, **changes) -> Leaderboard:
    method = summary_of(whole_report()).method
    fields = {
        "method": method,
        "methods": (MeasuredMethod(method=method, models=2),),
        "rows": (leaderboard_row(whole_report()), leaderboard_row(report("untrained", "no head"))),
        "total": 2,
        "families": {"resnet": 2},
        "pending": pending,
        "unreadable": 0,
    }
    return Leaderboard(**(fields | changes))


@pytest.mark.parametrize("client_type", CLIENTS)
async def test_both_clients_wait_until_all_reports_are_read(client_type):
    script = Script(answer(board(pending=3), Retry_After="0"), answer(board()))
    client = client_type("http://service.test", transport=script)
    options = {
        "translations_px": range(1, 4),
        "rotations_deg": (),
        "tolerance": 0.01,
        "sort": "-parameters",
        "limit": 5,
    }
    shown = await got(client.leaderboard(**options))
    assert isinstance(shown, Leaderboard)
    assert shown == board()
    asked = {"translations_px": "1,2,3", "rotations_deg": "none", "tolerance": "0.01", "sort": "-parameters"}
    assert [dict(request.url.params) for request in script.requests] == [{**asked, "limit": "5"}] * 2


async def test_a_client_that_does_not_wait_tells_what_is_missing():
    with AuditClient("http://service.test", transport=Script(answer(board(pending=3), Retry_After="9"))) as client:
        shown = client.leaderboard(wait_s=0)
    assert shown.pending == 3
    assert "The service has yet to read 3 reports; until then, rows are missing." in str(shown)


def test_it_prints_as_a_table_and_gives_a_data_frame():
    shown = board()
    text = str(shown)
    late = shown.rows[0].parts["Late"].rotation
    assert f"{late.channel:.3f}" in text
    assert "timm/resnet18.a1_in1k (untrained)" in text
    small = board(rows=(shown.rows[0].model_copy(update={"parameters": 5319}),))
    assert " 5,319 " in str(small)  # not 0.0M
    assert "<table>" in shown._repr_html_()
    frame = shown.to_dataframe()
    assert len(frame) == 2 * 5 * 2
    found = frame.query("weights == 'pretrained' and part == 'Late' and kind == 'rotation'").iloc[0]
    assert (found["channel"], found["layer_high"]) == (late.channel, late.layer_interval[1])
    assert frame["finished_at"].dt.tz is not None
    assert frame.query("weights == 'untrained' and part == 'Final'")["reason"].tolist() == ["no head"] * 2


def run(*arguments: str, shown: Leaderboard | None = None) -> tuple[int, str, list[httpx.Request]]:
    script = Script(answer(shown or board()))
    out = io.StringIO()
    with AuditClient("http://service.test", transport=script) as client, redirect_stdout(out):
        args = make_parser().parse_args(["leaderboard", *arguments])
        code = reporting_errors(lambda: args.run(client, args))
    return int(code), out.getvalue(), script.requests


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ([], {"sort": "-rotation.Late.channel", "limit": "20"}),
        (["--sort", "translation.Pool.layer", "--reverse"], {"sort": "translation.Pool.layer", "limit": "20"}),
        (["--sort", "model"], {"sort": "model", "limit": "20"}),
        (["--sort", "family", "--reverse", "--limit", "3"], {"sort": "-family", "limit": "3"}),
        (
            ["--tolerance", "none", "--protocol", "1", "--images-sha256", "0ab"],
            {"sort": "-rotation.Late.channel", "limit": "20"}
            | {"tolerance": "none", "protocol": "1", "images_sha256": "0ab"},
        ),
        (
            [
                "vit base",
                "--family",
                "vit",
                "--min-parameters",
                "25e6",
                "--max-top1",
                "80.5",
                "--translations-px",
                "1-32",
            ],
            {
                "sort": "-rotation.Late.channel",
                "limit": "20",
                "q": "vit base",
                "family": "vit",
                "min_parameters": "25000000",
                "max_top1": "80.5",
                "translations_px": "1-32",
            },
        ),
    ],
)
def test_the_command_asks_for_the_highest_scores_first(arguments, query):
    code, _, requests = run(*arguments)
    assert (code, [dict(request.url.params) for request in requests]) == (0, [query])


def test_the_command_shows_the_score_that_it_sorts_by():
    _, text, _ = run("--sort", "rotation.Late.layer")
    assert "layer equivariance" in text
    assert f"{board().rows[0].parts['Late'].rotation.layer:.3f}" in text
    _, text, _ = run("--sort", "rotation.Late.layer", "--score", "channel")
    assert "channel equivariance" in text
    _, text, _ = run("--sort", "translation.Final.top1_agreement")
    agreement = leaderboard_number(board().rows[0], "translation.Final.top1_agreement")
    assert "Translation Final top1 agreement" in text
    assert f"{agreement:.3f}" in text
    _, text, _ = run("--json")
    assert json.loads(text)["total"] == 2


def test_the_command_says_what_is_wrong_or_missing(capsys):
    code, _, requests = run("--sort", "accuracy")
    assert (code, requests) == (2, [])
    assert "There is no column 'accuracy' to sort by: there are model," in capsys.readouterr().err
    for bound in ("nan", "inf", "many"):
        with pytest.raises(SystemExit) as refusal:
            run("--min-parameters", bound)
        assert refusal.value.code == 2
        assert "argument --min-parameters:" in capsys.readouterr().err
    nothing = board(method=None, methods=(), rows=(), total=0, families={}, unreadable=2)
    code, text, _ = run(shown=nothing)
    assert code == 0
    assert "No audit by such a method has succeeded." in text
    assert "2 reports cannot be read" in text
