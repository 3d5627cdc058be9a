"""The command line as a script or a person runs it, with real processes, the real service and a real worker."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from zooaudit import AuditClient, AuditRequest, NotFound, Report

from service import stack

LIMIT_S = 120
QUICK = ("timm/test_resnet.r160_in1k", "--weights=untrained", "--dataset=synthetic", "--num-images=4")
QUICK = (*QUICK, "--translations-px=1-2", "--rotations-deg=90")
LONG = ("timm/resnet18.a1_in1k", "--weights=untrained", "--dataset=synthetic", "--num-images=5000")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cli-stack")
    (directory / "broken.pth").write_text("no checkpoint")
    env = {"ZOOAUDIT_API_KEYS": "", "ZOOAUDIT_CHECKPOINTS": str(directory), "OMP_NUM_THREADS": "1"}
    with stack.running(directory, env=env) as running:
        yield running


@pytest.fixture
def client(service):
    with AuditClient(service.url) as client:
        yield client
        for audit in client.audits():
            if not audit.status.final:
                client.cancel(audit.id)
                client.wait(audit.id, LIMIT_S, poll_s=0.05)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "zooaudit", *arguments]


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "ZOOAUDIT_URL": url, "COLUMNS": "120"}


def run(url: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        command(*arguments), env=environment(url) | env, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert "Traceback" not in ran.stderr
    return ran


@pytest.mark.usefixtures("client")
def test_an_audit_from_the_question_to_the_report(service, tmp_path):
    output = tmp_path / "report.json"
    ran = run(service.url, "audit", *QUICK, "--wait", "--output", str(output))
    assert ran.returncode == 0, ran.stderr
    in_words, _, tables = ran.stdout.partition("\n\n")
    assert " (untrained weights) in words\nWhen the image is shifted, the untrained network’s features " in in_words
    assert "\nBeware: Untrained weights." in in_words
    lines = tables.splitlines()
    assert lines[0] == "timm/test_resnet.r160_in1k (UNTRAINED weights: the architecture's own equivariance)"
    assert [line.split()[0] for line in lines[1:7]] == ["Part", "Early", "Middle", "Late", "Pool", "Final"]
    # A part may have no shifts that are whole at its blocks, and then a dash for their mean.
    cells = [cell for line in lines[2:7] for cell in line.split()[2:]]
    assert all(0 <= float(cell) <= 1 for cell in cells if cell != "–")
    assert len([cell for cell in cells if cell != "–"]) >= 20
    assert ran.stderr.splitlines()[0].endswith("(untrained): waiting for a worker")
    assert "(untrained): succeeded" in ran.stderr
    report = Report.model_validate_json(output.read_text())
    assert (report.model.weights.kind, report.images.count) == ("untrained", 4)
    assert (report.method.translations_px, report.method.rotations_deg) == ((1, 2), (90,))

    again = run(service.url, "audit", *QUICK, "--wait", "--json")  # the same question: answered at once
    assert Report.model_validate_json(again.stdout) == report
    assert run(service.url, "report", report.id).stdout == ran.stdout
    assert run(service.url, "status", report.id).stdout == "timm/test_resnet.r160_in1k (untrained): succeeded\n"
    listed = run(service.url, "list", "--status=succeeded", "--model=timm/test_resnet.r160_in1k").stdout.splitlines()
    assert listed[0].startswith("Id  ")
    assert listed[1].split()[:2] == [report.id, "succeeded"]


def test_a_dry_run_tells_the_cost_and_begins_nothing(service, client):
    quick = (*QUICK[:3], "--seed=41")
    asked = run(service.url, "audit", *quick, "--num-images=4", "--translations-px=1-2", "--rotations-deg=90", "--wait")
    assert asked.returncode == 0, asked.stderr
    before = [audit.id for audit in client.audits()]
    wanted = (*quick, "--num-images=5", "--translations-px=3", "--rotations-deg=180", "--baseline-seeds=2")
    wrong = run(service.url, "audit", *wanted, "--dry-run")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "baseline_seeds goes with baseline" in wrong.stderr
    wanted = wanted[:-1]
    told = run(service.url, "audit", *wanted, "--dry-run")
    assert (told.returncode, told.stderr) == (0, "")
    first, basis, queue = told.stdout.splitlines()
    assert re.fullmatch(
        r"timm/test_resnet\.r160_in1k \(untrained\): 15 forward images, about \d+ s on one worker\.", first
    )
    assert basis.startswith("By audit ")
    assert " of the same model on cpu, " in basis
    assert queue == "A worker is free now."
    cost = json.loads(run(service.url, "audit", *wanted, "--dry-run", "--json").stdout)
    assert (cost["forward_images"], cost["certainty"], cost["basis"]["same_model"]) == (15, "exact", True)
    assert [audit.id for audit in client.audits()] == before
    report = json.loads(run(service.url, "audit", *wanted, "--wait", "--json").stdout)
    assert (report["id"], report["timing"]["forward_images"]) == (cost["id"], 15)
    assert 0 < report["timing"]["preparing_seconds"] < report["timing"]["seconds"]
    exists = run(service.url, "audit", *wanted, "--dry-run")
    assert exists.stdout.endswith("this audit has a report already, so asking for it costs nothing.\n")
    unknown = run(service.url, "audit", "resnet81", "--dry-run")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "Did you mean" in unknown.stderr
    for option in ("--wait", "--timeout=5", "--output=report.json"):
        mistaken = run(service.url, "audit", *wanted, "--dry-run", option)
        assert (mistaken.returncode, mistaken.stdout) == (2, "")
        assert "there is none to wait for" in mistaken.stderr


def test_cancel(service, client):
    asked = run(service.url, "audit", *LONG, "--json")
    assert asked.returncode == 0
    identifier = json.loads(asked.stdout)["id"]
    started = time.monotonic()
    canceled = run(service.url, "cancel", identifier)
    assert (canceled.returncode, canceled.stderr) == (0, "")
    assert client.wait(identifier, LIMIT_S, poll_s=0.1).status == "canceled"
    assert time.monotonic() - started < 60
    reported = run(service.url, "report", identifier, "--wait")
    assert (reported.returncode, reported.stdout) == (1, "")
    assert reported.stderr.splitlines()[-1] == "The audit of timm/resnet18.a1_in1k was canceled."
    assert run(service.url, "status", identifier).returncode == 1


def test_a_time_limit_leaves_the_audit_going(service, client):
    ran = run(service.url, "audit", *LONG, "--seed=1", "--wait", "--timeout=0.5")
    assert (ran.returncode, ran.stdout) == (5, "")
    assert "after 0.5 s; it goes on." in ran.stderr
    (audit,) = (listed for listed in client.audits() if listed.request.seed == 1)
    assert not audit.status.final


def test_ctrl_c_leaves_the_audit_going(service, client):
    process = subprocess.Popen(
        command("audit", *LONG, "--seed=2", "--wait"),
        env=environment(service.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first == "timm/resnet18.a1_in1k (untrained): waiting for a worker\n"
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=LIMIT_S)
    (audit,) = (listed for listed in client.audits() if listed.request.seed == 2)
    assert not audit.status.final
    assert (process.returncode, out) == (130, "")
    assert error.splitlines()[-3:] == [
        f"Stopped waiting; audit {audit.id} goes on.",
        f"Take it up again: zooaudit report {audit.id} --wait",
        f"Cancel it: zooaudit cancel {audit.id}",
    ]


def test_on_a_terminal_there_are_a_bar_and_a_drawn_table(service):
    shown, code = on_a_terminal(service.url, "audit", *QUICK, "--seed=3", "--wait")
    assert code == 0, shown
    assert "━" in shown
    assert "─" in shown
    assert "UNTRAINED" in shown
    assert "Top-1 agreement" in shown


@pytest.mark.parametrize("columns", [80, 60])
def test_a_narrow_terminal_cuts_no_number(service, columns):
    audited = run(service.url, "audit", *QUICK, "--wait", "--json")
    report = Report.model_validate_json(audited.stdout)
    narrow = {"COLUMNS": str(columns)}
    for arguments in (["list"], ["models", "resnext"], ["model", "resnet50"], ["report", report.id]):
        shown, code = on_a_terminal(service.url, *arguments, **narrow)
        assert code == 0, shown
        assert all(len(line) <= columns for line in text(shown).splitlines()), shown
    shown, _ = on_a_terminal(service.url, "list", **narrow)
    assert report.id[:8] in shown
    assert report.id not in shown
    wide = run(service.url, "list", **narrow).stdout
    assert report.id in wide  # a pipe has no width
    again = run(service.url, "report", report.id[:8], "--json")
    assert Report.model_validate_json(again.stdout) == report


def text(shown: str) -> str:
    """Leave out colours, and of each line what a carriage return overwrote."""
    bare = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r\n", "\n")
    return "\n".join(line.rpartition("\r")[2] for line in bare.splitlines())


def on_a_terminal(url: str, *arguments: str, **env: str) -> tuple[str, int]:
    ours, theirs = pty.openpty()
    chunks: list[bytes] = []

    def read() -> None:
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux says so when the other side has been closed
                return
            chunks.append(chunk)

    process = subprocess.Popen(
        command(*arguments), env=environment(url) | env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    reader = threading.Thread(target=read)
    reader.start()
    code = process.wait(LIMIT_S)
    reader.join(LIMIT_S)
    os.close(ours)
    return b"".join(chunks).decode(), code


def test_a_sweep_audits_all_that_match_once_and_ends_with_a_table(service, client):
    options = QUICK[1:]
    ran = run(service.url, "sweep", "timm/test_[rv]*t", *options)
    assert ran.returncode == 0, ran.stderr
    models = [line.split()[0] for line in ran.stdout.splitlines() if line.startswith("timm/")]
    assert models == ["timm/test_resnet.r160_in1k", "timm/test_vit.r160_in1k"] * 2  # translation, rotation
    assert "2 of 2 have ended: 2 succeeded" in ran.stderr
    before = [audit.id for audit in client.audits()]

    # The second sweep has one more model; audits that have ended are not run again.
    again = run(service.url, "sweep", "timm/test_[rnv]*[2t]", *options, "--json")
    assert again.returncode == 0, again.stderr
    entries = json.loads(again.stdout)
    assert set(entries) >= set(models)
    assert {entries[model]["id"] for model in models} <= set(before)
    assert all(audit["status"] == "succeeded" for audit in entries.values())


@pytest.mark.parametrize(
    ("checkpoint", "why"),
    [("absent", "No checkpoint is called so; there are: broken"), ("broken", "It cannot be read")],
)
def test_a_sweep_names_what_was_refused_and_what_failed(service, checkpoint, why):
    ran = run(service.url, "sweep", "test_resnet.*", f"--weights=checkpoint:{checkpoint}", "--dataset=synthetic")
    assert ran.returncode == 1
    assert "timm/test_resnet.r160_in1k: " in ran.stdout
    assert why in ran.stdout


def test_a_sweep_of_nothing_says_so(service):
    nothing = run(service.url, "sweep", "timm/no_such*")
    assert nothing.returncode == 2
    assert "No model that can be audited matches timm/no_such*" in nothing.stderr


def test_ctrl_c_leaves_a_sweep_going(service, client):
    options = ("--weights=untrained", "--dataset=synthetic", "--num-images=3000")
    with subprocess.Popen(
        command("sweep", "timm/resnet1[08]*", *options),
        env=environment(service.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as sweep:  # fmt: skip
        assert sweep.stderr is not None
        for line in sweep.stderr:
            if "running" in line or "queued" in line:
                break
        sweep.send_signal(signal.SIGINT)
        assert sweep.wait(20) == 130
        assert "takes the sweep up again" in sweep.stderr.read()
    assert any(not audit.status.final for audit in client.audits())


def test_models_and_health(service):
    searched = run(service.url, "models", "test_resnet")
    assert searched.returncode == 0
    assert any(
        re.fullmatch(r"timm/test_resnet +resnet +160 +(–|[\d,]+) +yes +yes", line)
        for line in searched.stdout.splitlines()
    )
    assert run(service.url, "models", "no-such-name").stderr == "0 of 0 models that match.\n"
    named = json.loads(run(service.url, "models", "test_resnet", "--json").stdout)
    assert [entry["name"] for entry in named["models"]] == ["timm/test_resnet"]
    health = run(service.url, "health")
    assert health.returncode == 0
    assert f"{service.url}: ok" in health.stdout
    assert re.search(r", \d workers? \((cpu|cuda:0)[^)]*\), \d running", health.stdout)
    assert "Data sets: synthetic (any number)" in health.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("audit", "timm/resnet19", "--dataset=synthetic"), 2, "timm/resnet18"),
        (("audit", "timm/resnet18", "--dataset=nowhere"), 2, "nowhere"),
        (("audit", "timm/resnet18", "--num-images=0"), 2, "num_images: Input should be greater than or equal to 1."),
        (("audit", "timm/resnet18", "--rotations-deg=45"), 2, "rotations_deg.0: Input should be 90, 180 or 270."),
        (("audit", "timm/resnet18", "--translations-px=8-1"), 2, "'8-1' is not a range"),
        (("audit", "timm/resnet18", "--translations-px=one"), 2, "'one' is not like 1,2,8 or 1-32 or none"),
        (("audit", "timm/resnet18", "--output=/no/such/folder/report.json"), 2, "cannot write to /no/such/folder"),
        (("audit",), 2, "MODEL"),
        (("status", "0" * 32), 4, "There is no audit with this id."),
        (("report", "nonsense"), 4, "There is no audit with this id."),
        (("report", "abcdef"), 4, "There is no audit whose id starts with abcdef."),
        (("report", "0" * 32, "--timeout=nan"), 2, "'nan' is not a number of seconds"),
        (("list", "--limit=0"), 2, "'0' is not a number above 0"),
        (("health", "--url=service"), 2, "'service' is not an http:// or https:// URL."),
    ],
)
def test_each_mistake_gets_one_sentence(service, arguments, code, message):
    ran = run(service.url, *arguments)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert message in ran.stderr


def test_a_service_that_is_not_there():
    ran = run("http://127.0.0.1:9", "list")
    assert (ran.returncode, ran.stdout) == (3, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith("Cannot reach http://127.0.0.1:9: ")
    assert line.endswith("Is the service running there? --url or ZOOAUDIT_URL say where it is.")


def test_a_missing_key(tmp_path: Path):
    with stack.running(tmp_path, workers=0, env={"ZOOAUDIT_API_KEYS": "secret"}) as guarded:
        ran = run(guarded.url, "cancel", "0" * 32)
        assert ran.returncode == 4
        assert "Put yours into ZOOAUDIT_API_KEY" in ran.stderr
        with AuditClient(guarded.url, api_key="secret") as client, pytest.raises(NotFound):
            client.cancel("0" * 32)


def test_a_model_s_depth(service):
    shown = run(service.url, "model", "test_resnet")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[0].split() == ["Model", "timm/test_resnet.r160_in1k"]
    rows = [line.split() for line in shown.stdout.partition("Block ")[2].splitlines()[1:]]
    assert rows[-1][1:] == ["Final", "NCHW", "1000", "1", "1"]
    depth = json.loads(run(service.url, "model", "test_resnet", "--json").stdout)
    assert [block["name"] for block in depth["blocks"]] == [row[0] for row in rows]
    assert run(service.url, "model", "no_such").returncode == 4


def test_bash_completes_commands_models_and_audits(service, client, tmp_path):
    audit = client.submit("timm/test_resnet.r160_in1k", weights="untrained", dataset="synthetic", num_images=3)
    program = tmp_path / "zooaudit"
    program.write_text(f"#!{sys.executable}\nimport sys\nfrom zooaudit.cli import main\nsys.exit(main())\n")
    program.chmod(0o755)
    # Calls the function that the script registered for zooaudit, as readline does.
    script = r"""
    eval "$(zooaudit completion bash)"
    COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9; COMP_WORDS=($1)
    [[ $1 == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    registered=$(complete -p zooaudit); function=${registered##*-F }
    ${function% zooaudit} zooaudit "${COMP_WORDS[COMP_CWORD]}"
    printf '%s\n' "${COMPREPLY[@]}"
    """

    def completed(line: str) -> list[str]:
        env = environment(service.url) | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        ran = subprocess.run(
            ["bash", "-c", script, "bash", line], env=env, capture_output=True, text=True, timeout=LIMIT_S, check=True
        )
        return [word.strip() for word in ran.stdout.split("\n") if word.strip()]

    assert completed("zooaudit sw") == ["sweep"]
    assert completed("zooaudit audit timm") == ["timm/"]
    assert completed("zooaudit audit timm/test_resn") == ["timm/test_resnet", "timm/test_resnet.r160_in1k"]
    assert completed("zooaudit audit test_resnet.") == ["test_resnet.r160_in1k"]
    assert completed("zooaudit audit x --precision ") == ["float32", "tf32", "bfloat16"]
    assert audit.id in completed("zooaudit status ")
    assert completed("zooaudit status --js") == ["--json"]
    assert completed("zooaudit --js") == ["--json"]
    assert completed("zooaudit audit x --dataset ") == ["synthetic"]
    assert completed("zooaudit compare --dataset s") == ["synthetic"]
    assert completed("zooaudit audit x --weights ") == ["pretrained", "untrained", "checkpoint:"]
    assert completed("zooaudit sweep timm/test_resnet.r") == ["timm/test_resnet.r160_in1k"]
    (tmp_path / "saved.json").write_text("{}")
    assert completed(f"zooaudit report {tmp_path}/sa") == [f"{tmp_path}/saved.json"]
    assert completed(f"zooaudit audit x --output {tmp_path}/sa") == [f"{tmp_path}/saved.json"]
    assert completed(f"zooaudit audit x --seed {tmp_path}/sa") == []  # no number is a file


def test_completion_needs_no_service():
    for shell in ("bash", "zsh", "fish"):
        ran = run("not a URL", "completion", shell)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "zooaudit" in ran.stdout
        assert "-o default" not in ran.stdout  # files only where an argument is a file


def test_help_documents_every_option_and_exit_code():
    ran = subprocess.run(command("audit", "--help"), capture_output=True, text=True, timeout=LIMIT_S, check=True)
    for field in AuditRequest.model_fields:
        assert f"--{field.replace('_', '-')}" in ran.stdout or field.upper() in ran.stdout
    for code in ("0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "130 "):
        assert f"\n  {code}" in ran.stdout


def test_a_reader_that_leaves_early_is_no_error(service):
    script = " ".join([*command("models", "--json"), "|", "head", "-1"])
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        env=environment(service.url),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "{\n", "")
