"""The operator's own architectures: by the names of a setting, audited like a zoo's models."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from inspect import isfunction
from pathlib import Path

import pytest
import torch
from PIL import Image
from redis import Redis
from safetensors.torch import save_file
from zooaudit.contract import AuditRequest, Catalogue, CheckpointAnswer, CheckpointQuestion, Report, request_of

from tests.worker.small_audits import audit
from tests.worker.zoo import nets
from worker import zoo
from worker.audit import run
from worker.errors import AuditError
from worker.images import Preprocessing
from worker.queue import checkpoint_versions, model_depths
from worker.zoo import fitting, registered
from worker.zoo.checkpoints import open_outline

HERE = "tests.worker.zoo.nets"
SMALL = {"model": "own/small", "num_images": 8, "translations_px": [2, 4], "rotations_deg": [90]}


@pytest.fixture(autouse=True)
def functions() -> Iterator[None]:
    made_here = [name for name, value in vars(nets).items() if isfunction(value) and name != "hanging"]
    zoo.register({name: f"{HERE}:{name}" for name in made_here})
    yield
    zoo.register({})


def refusal(name: str, weights: str = "untrained", **how: object) -> AuditError:
    with pytest.raises(AuditError) as raised:
        zoo.load(name, weights, lambda _progress: None, **how)
    return raised.value


@pytest.mark.parametrize(
    ("name", "size", "parameters"),
    [("small", 32, 2194), ("plain", 224, 898), ("of_timm", 160, 469688), ("sized", 32, 10386)],
)
def test_the_catalogue_tells_what_building_has_shown(name: str, size: int, parameters: int) -> None:
    entry = registered.entry(name)
    assert (entry.name, entry.source, entry.architecture) == (f"own/{name}", "own", name)
    assert (entry.supported, entry.pretrained, entry.tags) == (True, False, ())
    assert (entry.input_size, entry.parameters) == (size, parameters)
    assert entry in zoo.catalogue()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("grey", "its input has 1 channels"),
        ("wide", "it needs a non-square input, 32 x 64"),
        ("misread", "Its pretrained_cfg cannot be read"),
        ("bald", "three numbers each for mean and std"),
        ("vast", "an input_size of 16 to 4096 px"),
        ("shared", "gives the same weights at each call"),
        ("seeded", "the same numbers under every seed"),
        ("trained", "offer trained ones as checkpoint:NAME"),
        ("drawn_elsewhere", "other weights under the same seed"),
        ("valueless", "Its weights have no values"),
        ("no_module", "gives no torch module, but 'int'"),
        ("needing", "FileNotFoundError"),
        ("of_depth", "missing 1 required positional argument: 'depth'"),
        ("failing", f"{HERE}:failing raises Exception: the weather is bad"),
        ("leaving", "raises SystemExit: 3"),
        ("dying", "the process that built it ended without an answer"),
    ],
)
def test_a_function_that_makes_nothing_to_audit_has_the_reason(name: str, reason: str) -> None:
    entry = registered.entry(name)
    assert not entry.supported
    assert reason in (entry.reason or "")
    assert not (entry.reason or "").endswith(".")
    assert "Traceback" not in (entry.reason or "")
    assert "/srv" not in (entry.reason or "")
    problem = refusal(f"own/{name}").problem
    assert problem.type == "urn:zooaudit:problem:unsupported-model"
    assert problem.detail == f"own/{name}: {entry.reason}."


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (f"{HERE}:absent", "has no attribute 'absent'"),
        (f"{HERE}:NOT_ONE", "'int' object is not callable"),
        ("nowhere.at_all:net", "No module named 'nowhere'. Python looks in the current folder and in PYTHONPATH"),
    ],
)
def test_a_function_that_is_not_there_has_the_reason(function: str, reason: str) -> None:
    zoo.register({"net": function, "small": f"{HERE}:small"})
    assert reason in (registered.entry("net").reason or "")
    assert registered.entry("small").supported


def test_code_that_hangs_does_not_hold_up_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registered, "BUILD_LIMIT_S", 0.5)
    zoo.register({"hanging": f"{HERE}:hanging"})
    assert registered.entry("hanging").reason == "building it took longer than 0.5 s"


def test_the_code_is_imported_in_other_processes_only() -> None:
    command = (
        "import sys; from worker import zoo; zoo.register({'net': 'tests.worker.zoo.nets:small'});"
        "print(any(entry.name == 'own/net' and entry.supported for entry in zoo.catalogue()));"
        "print('tests.worker.zoo.nets' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_names() -> None:
    assert zoo.resolve("own/small") == zoo.resolve("small") == ("own", "small", None)
    zoo.register({"resnet18": f"{HERE}:small", "resnet44": f"{HERE}:small"})
    assert str(zoo.resolve("resnet18")) == "timm/resnet18.a1_in1k"  # bare names mean what they always did
    assert str(zoo.resolve("own/resnet18")) == "own/resnet18"
    tagged, unknown, bare = (refusal(name).problem for name in ("own/resnet18.a1", "own/resnet45", "resnet4x4x"))
    assert "have no tags: ask for own/resnet18" in tagged.detail
    assert "it has: own/resnet18, own/resnet44" in unknown.detail
    assert "ZOOAUDIT_MODELS, which must be the same for all workers" in unknown.detail
    assert "own/resnet44" in (unknown.suggestions or ())
    assert "nor in own" in bare.detail
    zoo.register({})
    assert "it has: none" in refusal("own/small").problem.detail
    assert "own" not in refusal("resnet4x4x").problem.detail


@pytest.mark.parametrize(
    "name", ["os:system", "tests.worker.zoo.nets:small", "own/tests.worker.zoo.nets:small", "own/os"]
)
def test_no_request_names_code(name: str) -> None:
    assert refusal(name).problem.type == "urn:zooaudit:problem:unknown-model"


def test_the_preprocessing_is_that_of_the_module() -> None:
    small = zoo.load("own/small", "untrained", lambda _progress: None)
    bilinear, bicubic = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
    assert small.preprocessing == Preprocessing(32, 32, bilinear, (0.5, 0.4, 0.3), (0.2, 0.2, 0.3))
    plain = zoo.load("own/plain", "untrained", lambda _progress: None)
    assert plain.preprocessing == Preprocessing(224, 256, bicubic, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_untrained_weights_are_drawn_under_the_seed() -> None:
    model = zoo.load("own/small", "untrained", lambda _progress: None)
    torch.manual_seed(0)
    assert all(torch.equal(*pair) for pair in zip(model.module.parameters(), nets.small().parameters(), strict=True))
    assert model.initialised is not None
    assert not torch.equal(model.initialised(1).stem.weight, model.module.stem.weight)
    assert not model.initialised(1).training


@pytest.mark.parametrize("name", ["wrapped", "compiled", "half_drawn"])
def test_wrappers_modes_and_types_are_taken_off(name: str) -> None:
    report = audit(SMALL | {"model": f"own/{name}"})
    assert [block.name for block in report.blocks] == ["stem", "block1.2", "block2.2", "block2", "fc"]
    assert {parameter.dtype for parameter in zoo.load(f"own/{name}", "untrained", print).module.parameters()} == {
        torch.float32
    }


def test_an_audit_says_which_code_it_measured() -> None:
    report = audit(SMALL)
    assert (report.model.name, report.model.source, report.model.family) == ("own/small", "own", "own")
    assert report.model.code is not None
    assert report.model.code == registered.entry("small").code
    assert report.model.code.function == f"{HERE}:small"
    assert request_of(report).model == "own/small"
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert "code" not in audit().model.model_dump()  # reports of zoos are what they were


def test_the_hash_of_the_code_changes_with_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mybase.py").write_text("from tests.worker.zoo.nets import Small\nclass Base(Small):\n    pass\n")
    (tmp_path / "mycode.py").write_text("from mybase import Base\ndef net():\n    return Base()\n")
    zoo.register({"net": "mycode:net"})
    first = registered.entry("net").code
    registered.entry.cache_clear()
    assert registered.entry("net").code == first
    (tmp_path / "mybase.py").write_text("from tests.worker.zoo.nets import Small\nclass Base(Small):\n    deep = 1\n")
    registered.entry.cache_clear()
    assert registered.entry("net").code != first


def save(folder: Path, module: torch.nn.Module, **options: object) -> None:
    save_file(module.state_dict(), folder / "mine.safetensors")
    if options:
        (folder / "mine.json").write_text(json.dumps(options))


def loading_and_checking(folder: Path, model: str) -> str | None:
    """What loading says to the checkpoint, and checking before loading says, too."""
    said = []
    for attempt in (
        lambda: zoo.load(model, "checkpoint:mine", lambda _progress: None, checkpoints=folder),
        lambda: fitting.check_fit(model, open_outline("mine", folder)),
    ):
        try:
            attempt()
            said.append(None)
        except AuditError as error:
            said.append(error.problem.detail)
    assert said[0] == said[1]
    return said[0]


def test_a_checkpoint_is_loaded_with_its_classes_and_options(tmp_path: Path) -> None:
    trained = nets.small(6)
    save(tmp_path, trained, input_size=48, mean=[0.1, 0.2, 0.3])
    assert loading_and_checking(tmp_path, "own/small") is None
    model = zoo.load("own/small", "checkpoint:mine", lambda _progress: None, checkpoints=tmp_path)
    assert torch.equal(model.module.fc.weight, trained.fc.weight)
    assert model.preprocessing.input_size == 48
    assert (model.preprocessing.mean, model.preprocessing.std) == ((0.1, 0.2, 0.3), (0.2, 0.2, 0.3))


def test_classes_and_sizes_go_to_functions_that_take_them(tmp_path: Path) -> None:
    save(tmp_path, nets.small(6))
    assert "fc.weight is (6, 16) instead of (10, 16)" in (loading_and_checking(tmp_path, "own/of_ten") or "")
    save(tmp_path, nets.sized(40), input_size=40)
    assert loading_and_checking(tmp_path, "own/sized") is None
    assert "unexpected keys 1: position" in (loading_and_checking(tmp_path, "own/small") or "")


def test_a_checkpoint_has_its_baseline(tmp_path: Path) -> None:
    save(tmp_path, nets.small(6))
    request = SMALL | {"weights": "checkpoint:mine", "baseline": True, "baseline_seeds": 2}
    report = audit(request, checkpoints=tmp_path)
    assert report.baseline is not None
    assert report.baseline.seeds == (0, 1)
    assert report.model.weights.kind == "checkpoint"
    by_seed = report.baseline.parts["Early"].rotation.channel.by_seed
    assert by_seed[0] != by_seed[1]


@pytest.mark.parametrize(
    ("name", "why"),
    [("grey_in_secret", "to have 1 channels, but got 3 channels"), ("raising", "Exception: the weather is bad")],
)
def test_what_its_first_run_shows_is_refused_with_the_reason(name: str, why: str) -> None:
    assert registered.entry(name).supported
    problem = refusal(f"own/{name}").problem
    assert problem.type == "urn:zooaudit:problem:unsuitable-module"
    assert f"own/{name} cannot be built and run on images of" in problem.detail
    assert why in problem.detail
    assert why in (model_depths.depth_of(f"own/{name}").blocks_reason or "")


def test_nobody_publishes_weights_of_own_architectures() -> None:
    problem = refusal("own/small", "pretrained").problem
    assert problem.type == "urn:zooaudit:problem:weights-not-published"
    assert 'weights "untrained" or "checkpoint:NAME"' in problem.detail


def test_the_time_limit_of_an_audit_is_no_fault_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from rq.timeouts import JobTimeoutException

    def late() -> torch.nn.Module:
        raise JobTimeoutException("too late")

    assert registered.entry("small").supported
    monkeypatch.setattr(nets, "small", late)
    with pytest.raises(JobTimeoutException):
        zoo.load("own/small", "untrained", lambda _progress: None)


def test_depths_and_parameters(redis: Redis) -> None:
    depth = model_depths.depth_of("own/small")
    assert [block.name for block in depth.blocks or ()][:3] == ["stem", "block1.2", "block2.2"]
    assert (depth.input_size, depth.parameters) == (32, 2194)
    entries = (registered.entry("small"), registered.entry("failing"))
    zoo.register({})  # a worker that counts may not have them
    content = Catalogue(entries=entries, datasets={}).model_dump_json()
    redis.hset("zooaudit:catalogue", mapping={"version": "1", "json": content})
    model_depths.count_parameters(redis)
    assert Catalogue.model_validate_json(redis.hget("zooaudit:catalogue", "json")).entries == entries


def test_whether_a_checkpoint_fits_is_asked_anew_when_the_code_changes(tmp_path: Path, redis: Redis) -> None:
    save(tmp_path, nets.small(6))
    question = CheckpointQuestion(token="t", name="mine", model="own/net")

    def answer() -> CheckpointAnswer:
        return checkpoint_versions.answer(question, str(tmp_path), redis, lambda: None)

    zoo.register({"net": f"{HERE}:of_ten"})
    refused = answer()
    assert refused.error is not None
    assert "weights-mismatch" in refused.error.type
    os.utime(tmp_path / "mine.safetensors")
    zoo.register({"net": f"{HERE}:small"})  # in the same file: the code's hash tells functions apart, too
    assert answer().error is None


def test_the_command_line_takes_the_names_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps(SMALL | {"weights": "untrained", "dataset": "synthetic"}))
    command = [sys.executable, "-m", "worker.cli", str(tmp_path / "request.json"), "--quiet", "--cache-gib", "0"]
    env = os.environ | {"ZOOAUDIT_MODELS": f"small={HERE}:small,broken={HERE}:failing"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Report.model_validate_json(done.stdout).model == audit(SMALL).model
    wrong = subprocess.run(command, env=env | {"ZOOAUDIT_MODELS": "small"}, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "'small=' names no function" in wrong.stderr


def test_workers_of_other_code_do_not_share_an_audit() -> None:
    from worker.audit import plan_of, prepare_audit

    request = AuditRequest(**SMALL, weights="untrained", dataset="synthetic")
    prepared = prepare_audit(request)
    plan = plan_of(request, prepared.loaded, prepared.experiment)
    zoo.register({"small": f"{HERE}:of_ten"})
    other = prepare_audit(request)
    assert other.loaded.weights == prepared.loaded.weights
    assert plan_of(request, other.loaded, other.experiment).fingerprint != plan.fingerprint
    assert run(request).model.code != registered.entry("half_drawn").code
