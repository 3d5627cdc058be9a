"""What goes wrong on the command line is a sentence on standard error and an exit code, never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.samples import report
from tests.client.test_connection import HEALTH, PROXY_VARIABLES, Answers, serving

NOWHERE = "http://127.0.0.1:9"
LIMIT_S = 120


def run(url: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    names = {*PROXY_VARIABLES, *map(str.upper, PROXY_VARIABLES), "ZOOAUDIT_API_KEY"}
    clean = {name: value for name, value in os.environ.items() if name not in names}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "zooaudit", *arguments],
        env={**clean, "ZOOAUDIT_URL": url, **env}, capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert "Traceback" not in ran.stderr
    return ran


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (200, "<html>Hello</html>", 3, "did not answer with a zooaudit Health: another service, or another version"),
        (200, "{", 3, "did not answer with a zooaudit Health"),
        (200, "", 3, "did not answer with a zooaudit Health"),
        (404, "<html>Not Found</html>", 3, "/health answered 404 Not Found: there is no zooaudit service."),
        (500, "{}", 3, "/health answered 500 Internal Server Error."),
    ],
)
def test_what_is_no_zooaudit_service(status, body, code, message):
    server = Answers(status, body)
    with serving(server):
        ran = run(f"http://{server.address}", "health")
    assert (ran.returncode, ran.stdout) == (code, "")
    (line,) = ran.stderr.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "."], ". is not a report: Is a directory."),
        (["report", "absent.json"], "absent.json is not a report: No such file or directory."),
        (["replay", sys.executable], f"{sys.executable} is not a report: it is not text in UTF-8."),
        (["compare", "x", "--top1", "."], ". has no accuracies: Is a directory."),
        (["compare", "x", "--top1", sys.executable], f"{sys.executable} has no accuracies: it is not text in UTF-8."),
        (["status", ""], "The id of an audit is missing."),
        (["status", "abc"], "abc is too short for the start of an id: give 4 digits."),
        (
            ["audit", "--wait"],
            "zooaudit audit: the following arguments are required: MODEL. See zooaudit audit --",
        ),
        (["audit", "x", "--seed=1e3"], "argument --seed: '1e3' is not a whole number. See zooaudit audit --help."),
        (["audit", "x", "--tolerance=no"], "argument --tolerance: 'no' is not a number. See zooaudit audit --help."),
        (["report", "x", "--output=."], "argument --output: cannot write to .: it is a folder."),
        (["report", "x", "--html=no/x"], "argument --html: cannot write to no/x: its folder does not exist."),
        (["health", "--url=localhost:8000"], "not an http:// or https:// URL. Did you mean http://localhost:8000?"),
        (["health", "--url=http://x/#/audits"], "http://x/#/audits is the address of a page"),
    ],
)
def test_each_mistake_is_one_sentence(arguments, message):
    ran = run(NOWHERE, *arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ALL_PROXY", "socks4://127.0.0.1:1", "ALL_PROXY is not the address of an HTTP or SOCKS5 proxy"),
        ("HTTP_PROXY", "http://127.0.0.1:port", "HTTP_PROXY is not the address of an HTTP or SOCKS5 proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used(variable, value, message):
    ran = run("http://service.test", "health", **{variable: value})
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith(message)


def test_a_service_on_this_machine_needs_no_proxy():
    proxy, service = Answers(502, "<html>"), Answers(200, HEALTH.model_dump_json())
    with serving(proxy), serving(service):
        proxies = dict.fromkeys(("HTTP_PROXY", "ALL_PROXY", "http_proxy"), f"http://{proxy.address}")
        assert run(f"http://{service.address}", "health", **proxies).returncode == 0
        assert run(f"http://{service.address}", "health", ALL_PROXY="socks5://127.0.0.1:1").returncode == 0
    assert proxy.asked == []


def test_a_saved_report_is_shown_without_a_service(tmp_path: Path):
    file = tmp_path / "report.json"
    file.write_text(report().model_dump_json(), "utf-8")
    shown = run(NOWHERE, "report", str(file))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("timm/resnet18.a1_in1k (pretrained weights) in words\n")
    assert "\ntimm/resnet18.a1_in1k (pretrained weights)\n" in shown.stdout
    assert json.loads(run(NOWHERE, "report", str(file), "--json").stdout) == report().model_dump(mode="json")
    page = tmp_path / "figure.html"
    assert run(NOWHERE, "report", str(file), f"--html={page}").returncode == 0
    assert "plotly" in page.read_text("utf-8")


def test_url_and_json_stand_before_or_after_the_command():
    service = Answers(200, HEALTH.model_dump_json())
    with serving(service):
        url = f"http://{service.address}"
        shown = [
            run(NOWHERE, *arguments)
            for arguments in (
                ["--url", url, "--json", "health"],
                ["--url", url, "health", "--json"],
                ["--json", "health", "--url", url],
                ["health", f"--url={url}", "--json"],
                ["--url", NOWHERE, "--json", "health", "--url", url],
            )
        ]
    assert {(ran.returncode, ran.stdout) for ran in shown} == {(0, HEALTH.model_dump_json(indent=2) + "\n")}
    assert run(url, "health").stdout == ""  # that service has ended: --url was needed


def test_output_that_cannot_be_written():
    service = Answers(200, report().model_dump_json())
    with serving(service):
        url = f"http://{service.address}"
        for script in ("{} report {} > /dev/full", "{} report {} --json > /dev/full"):
            ran = shell(script.format(f"{sys.executable} -m zooaudit", "0" * 32), url)
            assert (ran.returncode, ran.stdout) == (2, "")
            assert ran.stderr == "The output cannot be written: No space left on device.\n"
        ran = run(url, "report", "0" * 32, "--output=/dev/full")
        assert ran.returncode == 2
        assert ran.stderr == "The output cannot be written: No space left on device.\n"
        for arguments in ("--help", f"report {'0' * 32}", f"report {'0' * 32} --json"):
            ran = shell(f"set -o pipefail; {sys.executable} -m zooaudit {arguments} | true", url)
            assert (ran.returncode, ran.stderr) == (0, "")


def shell(script: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script], env={**os.environ, "ZOOAUDIT_URL": url}, capture_output=True, text=True,
        timeout=LIMIT_S, check=False,
    )  # fmt: skip


def test_a_terminal_without_unicode_shows_question_marks():
    file = report(final_reason="no classifier").model_dump_json()
    service = Answers(200, file)
    with serving(service):
        ran = run(f"http://{service.address}", "report", "0" * 32, PYTHONIOENCODING="ascii")
    assert ran.returncode == 0
    (final,) = [line.split() for line in ran.stdout.splitlines() if line.startswith("Final ")]
    assert final[:2] == ["Final", "0"]
    assert set(final[2:]) == {"?"}


def test_ctrl_c_while_it_waits_for_an_answer():
    with subprocess.Popen(
        [sys.executable, "-c", "from zooaudit.cli import main; import os, signal, threading\n"
         "threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT)).start(); raise SystemExit(main(['health']))"],
        env={**os.environ, "ZOOAUDIT_URL": NOWHERE}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        out, error = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out, error) == (130, "", "")
