"""The operator's own architectures in a real service: in the catalogue, audited, swept, and shown in a browser."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from playwright.sync_api import Browser, expect
from safetensors.torch import save_file
from zooaudit import AuditClient, AuditFailed, InvalidRequest

from service.stack import Stack, running
from tests.e2e.browser import opened
from tests.worker.zoo import nets

HERE = "tests.worker.zoo.nets"
NAMES = ("small", "plain", "failing", "dying", "trained", "grey_in_secret")
FEW = {"dataset": "synthetic", "num_images": 8, "translations_px": [2, 4], "rotations_deg": [90]}
LIMIT_S = 120.0


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("own-stack")
    checkpoints = directory / "checkpoints"
    checkpoints.mkdir()
    torch.manual_seed(5)
    save_file(nets.small(6).state_dict(), checkpoints / "mine.safetensors")
    (checkpoints / "mine.json").write_text('{"mean": [0.4, 0.4, 0.4]}')
    env = {
        "ZOOAUDIT_API_KEYS": "",
        "ZOOAUDIT_CHECKPOINTS": str(checkpoints),
        "ZOOAUDIT_MODELS": ",".join(f"{name}={HERE}:{name}" for name in NAMES),
        "OMP_NUM_THREADS": "1",
    }
    with running(directory / "stack", workers=1, env=env) as stack:
        yield stack


@pytest.fixture
def own_client(own_stack: Stack) -> Iterator[AuditClient]:
    with AuditClient(own_stack.url) as client:
        yield client


def command(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zooaudit", *arguments],
        env=os.environ | {"ZOOAUDIT_URL": stack.url, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_they_are_in_the_catalogue_with_the_reason_against_them(own_stack: Stack, own_client: AuditClient) -> None:
    listed = {entry.architecture: entry for entry in own_client.models(source="own", limit=5000).models}
    assert tuple(listed) == NAMES
    supported = {name for name, entry in listed.items() if entry.supported}
    assert supported == {"small", "plain", "grey_in_secret"}
    assert listed["failing"].reason == f"{HERE}:failing raises Exception: the weather is bad"
    assert "ZOOAUDIT_MODELS: failing cannot be audited:" in own_stack.log("worker-1").read_text()
    depth = own_client.model("small")
    assert depth.full_name == "own/small"
    assert [block.name for block in depth.blocks or ()] == ["stem", "block1.2", "block2.2", "block2", "fc"]
    table = command(own_stack, "models", "--source", "own").stdout
    assert table.split().count("own") == len(NAMES)


def test_untrained_weights_and_checkpoints_are_audited(own_client: AuditClient) -> None:
    untrained = own_client.audit("own/small", weights="untrained", **FEW).wait(LIMIT_S)
    assert untrained.model.code is not None
    assert untrained.model.code == own_client.model("own/small").code
    mine = own_client.audit("small", weights="checkpoint:mine", baseline=True, **FEW).wait(LIMIT_S)
    assert mine.model.name == "own/small"
    assert mine.model.weights.label.startswith("checkpoint:mine@")
    assert mine.baseline is not None
    (unlearned,) = mine.baseline.parts["Early"].rotation.channel.by_seed
    assert mine.parts["Early"].rotation.channel != pytest.approx(unlearned, abs=1e-3)


@pytest.mark.parametrize(
    ("model", "weights", "said"),
    [
        (
            "own/small",
            "pretrained",
            "own/small has no published weights. Ask for weights 'untrained' or 'checkpoint:NAME'",
        ),
        ("own/failing", "untrained", "own/failing cannot be audited"),
        ("own/smal", "untrained", "Did you mean own/small"),
        ("own/os", "untrained", "No zoo has 'own/os'"),
        (f"{HERE}.small", "untrained", f"No zoo has '{HERE}.small'"),
        ("own/plain", "checkpoint:mine", "It does not fit the architecture"),
    ],
)
def test_what_cannot_be_audited_is_refused(own_client: AuditClient, model: str, weights: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        own_client.submit(model, weights=weights, **FEW)
    assert said in str(raised.value)


def test_what_only_its_first_run_shows_fails_with_the_reason(own_client: AuditClient) -> None:
    with pytest.raises(AuditFailed, match="to have 1 channels, but got 3 channels"):
        own_client.audit("own/grey_in_secret", weights="untrained", **FEW).wait(LIMIT_S)


@pytest.fixture
def without_workers(own_stack: Stack) -> Iterator[None]:
    """The stack with its worker stopped; afterwards with that worker again, and no other."""
    own_stack.workers[0].terminate()
    own_stack.workers[0].wait()
    yield
    for other in own_stack.workers[1:]:
        other.terminate()
        other.wait()
    del own_stack.workers[1:]
    own_stack.mend()


@pytest.mark.usefixtures("without_workers")
def test_an_audit_that_reaches_a_worker_without_the_name_fails_and_says_so(
    own_client: AuditClient, own_stack: Stack
) -> None:
    audit = own_client.submit("own/plain", weights="untrained", **FEW, seed=7)
    own_stack.start_worker(ZOOAUDIT_MODELS=f"small={HERE}:small")
    error = own_client.wait(audit.id, LIMIT_S).error
    assert error is not None
    assert error.type == "urn:zooaudit:problem:unknown-model"
    assert "This worker has no own/plain; of the operator's own architectures it has: own/small." in error.detail


def test_a_sweep_measures_those_that_can_be_measured(own_stack: Stack) -> None:
    options = ("--dataset", "synthetic", "--num-images", "8", "--translations-px", "2,4", "--rotations-deg", "90")
    swept = command(own_stack, "sweep", "own/[sp]*", "--weights", "untrained", *options)
    assert swept.returncode == 0, swept.stderr
    assert "own/small" in swept.stdout
    assert "own/plain" in swept.stdout
    everything = command(own_stack, "sweep", "own/*", "--weights", "untrained", *options)
    assert everything.returncode == 1
    assert f"Left out: own/failing ({HERE}:failing raises Exception: the weather is bad)" in everything.stderr


def test_the_dashboard_shows_them(own_stack: Stack, own_client: AuditClient, browser: Browser) -> None:
    report = own_client.audit("own/small", weights="untrained", **FEW).wait(LIMIT_S)
    with opened(browser, own_stack.url, key=None) as page:
        page.goto("/?model=own/small")
        expect(page.locator("body")).to_contain_text(f"{HERE}:small")
        expect(page.locator("body")).to_contain_text("block1.2")
        page.goto("/?model=own/failing")
        expect(page.locator("body")).to_contain_text("raises Exception: the weather is bad")
        page.goto(f"/?audit={report.id}")
        assert report.model.code is not None
        expect(page.locator("body")).to_contain_text(report.model.code.sha256)
        page.goto("/")
        page.locator("#model").fill("own")
        expect(page.locator("#model-list [role=option]")).to_have_count(len(NAMES))
        page.locator("#model-list [role=option]").first.click()
        page.locator("select[name=weights]").select_option("untrained")
        page.locator("input[name=num_images]").fill("4")
        page.locator("details summary").click()
        page.locator("input[name=translations_px]").fill("1-8")
        page.locator("#launch").click()
        expect(page.locator("main")).to_contain_text("4 images · shifts 1–8 px")
        expect(page.locator("main")).to_contain_text("Code of the model")
