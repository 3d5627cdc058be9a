"""The operator's own checkpoints: measured as what they are, or refused with what is wrong; nothing is executed."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from moto.server import ThreadedMotoServer
from obstore.store import from_url
from safetensors.torch import save_file
from zooaudit.contract import AuditRequest, Problem, Progress, audit_id, request_of

from worker import zoo
from worker.audit import run
from worker.errors import AuditError
from worker.zoo import checkpoints
from worker.zoo.checkpoints import version

NAME = "timm/test_resnet"


def network(classes: int = 7, name: str = "test_resnet", **options: Any) -> torch.nn.Module:
    torch.manual_seed(3)
    return timm.create_model(name, num_classes=classes, **options)


def load(folder: Path | None, name: str = "mine", model: str = NAME) -> zoo.LoadedModel:
    return zoo.load(model, f"checkpoint:{name}", lambda _progress: None, checkpoints=folder)


def refused(folder: Path | None, name: str = "mine") -> Problem:
    with pytest.raises(AuditError) as raised:
        load(folder, name)
    assert raised.value.problem.detail.startswith(f"checkpoint:{name}: ")
    return raised.value.problem


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("classes", [7, 1000])
def test_what_is_measured_is_the_file(tmp_path: Path, suffix: str, classes: int) -> None:
    mine = network(classes)
    save = save_file if suffix == ".safetensors" else torch.save
    save(mine.state_dict(), tmp_path / f"mine{suffix}")
    model = load(tmp_path)
    assert model.weights.kind == "checkpoint"
    assert model.weights.origin == "mine"
    assert len(model.weights.sha256) == 64
    image = torch.randn(1, 3, 160, 160)
    assert torch.equal(model.module(image), mine.eval()(image))


def test_nothing_is_left_of_the_weights_on_which_the_depth_was_found(tmp_path: Path) -> None:
    # In eval mode TinyViT keeps attention biases that it has computed from its weights.
    mine = network(1000, "tiny_vit_5m_224")
    with torch.no_grad():
        for parameter in mine.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    save_file(mine.state_dict(), tmp_path / "mine.safetensors")
    image = torch.randn(1, 3, 224, 224)
    assert torch.equal(load(tmp_path, model="timm/tiny_vit_5m_224").module(image), mine.eval()(image))


def test_an_audit_of_a_checkpoint_is_that_of_its_tensors(tmp_path: Path) -> None:
    torch.save({"state_dict": {f"module.{key}": value for key, value in network().state_dict().items()}, "epoch": 3},
               tmp_path / "run-1.pth")  # fmt: skip
    request = AuditRequest(
        model=NAME,
        weights="checkpoint:run-1",
        dataset="synthetic",
        num_images=3,
        translations_px=(4,),
        rotations_deg=(),
    )
    report = run(request, checkpoints=tmp_path)
    assert request_of(report).weights == request.weights
    assert report.model.weights.kind == "checkpoint"
    assert report.model.imagenet_top1 is None
    assert report.blocks[-1].channels == 7


def test_the_baseline_of_a_checkpoint_has_its_classes_and_its_input_size(tmp_path: Path) -> None:
    save_file(network(7, "test_vit", img_size=192).state_dict(), tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text('{"input_size": 192}')
    asked = {"model": "timm/test_vit", "weights": "checkpoint:mine", "dataset": "synthetic", "num_images": 3}
    request = AuditRequest(**asked, translations_px=(4,), rotations_deg=(), baseline=True)
    report = run(request, checkpoints=tmp_path)
    assert (report.model.input_size, report.blocks[-1].channels) == (192, 7)
    assert report.baseline is not None
    final = report.baseline.parts["Final"].translation.channel
    assert final.pretrained.value == report.parts["Final"].translation.channel
    assert final.untrained.value is not None


def test_options_beside_the_file_are_used(tmp_path: Path) -> None:
    save_file(network(name="test_vit", img_size=192).state_dict(), tmp_path / "big.safetensors")
    (tmp_path / "big.json").write_text(json.dumps({"input_size": 192, "mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]}))
    model = load(tmp_path, "big", "timm/test_vit")
    assert (model.preprocessing.input_size, model.preprocessing.mean) == (192, (0.1, 0.2, 0.3))
    assert model.preprocessing.std == (1.0, 2.0, 3.0)
    assert model.depth.blocks[-1].grid == (12, 12)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"classes": 7}', "classes: there is no such field"),
        ('{"mean": [0.5]}', "mean"),
        ('{"input_size": 100000}', "input_size"),
        ("{", "Invalid JSON"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, text: str, complaint: str) -> None:
    save_file(network().state_dict(), tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text(text)
    problem = refused(tmp_path)
    assert problem.type.endswith("checkpoint-options")
    assert complaint in problem.detail


class Trap:
    """A pickle that leaves a file behind when it is executed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def compressed(state: dict[str, Any]) -> bytes:
    """What torch saves, packed again with compression, and with zeros that fill gigabytes."""
    plain, packed = io.BytesIO(), io.BytesIO()
    torch.save(state, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            new.writestr(item.filename, old.read(item))
        new.writestr("archive/data/99", bytes(50_000_000))
    return packed.getvalue()


def pth(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


WRONG: list[tuple[Callable[[dict[str, Any]], bytes], str, str]] = [
    (
        lambda state: pth({key: value for key, value in state.items() if "layer4" not in key}),
        "mismatch",
        "missing keys",
    ),
    (lambda state: pth(state | {"more": torch.zeros(2)}), "mismatch", "unexpected keys 1: more"),
    (lambda state: pth(state | {"bn1.weight": torch.zeros(3)}), "mismatch", "bn1.weight is (3,) instead of ("),
    (lambda _: pth({"epoch": 3, "optimizer": {}}), "mismatch", "epoch, optimizer are no tensors"),
    (
        lambda state: pth({"epoch": 3, "student": state, "teacher": state}),
        "mismatch",
        "if weights are in one of its dictionaries (student, teacher), name it as container",
    ),
    (lambda _: pth([1, 2]), "mismatch", "no dictionary of tensors"),
    (lambda state: pth({**state, "module.fc.bias": state["fc.bias"]}), "mismatch", "twice, with and without 'module.'"),
    (lambda state: pth(state)[:-2000], "corrupt", "cannot be read"),
    (lambda state: pth(state)[: len(pth(state)) // 2], "corrupt", "cannot be read"),
    (lambda _: b"", "corrupt", "cannot be read"),
    (lambda _: b"<html>not found</html>", "corrupt", "cannot be read"),
    (compressed, "unsafe", "compressed"),
]


@pytest.mark.parametrize(("make", "slug", "complaint"), WRONG)
def test_a_wrong_file_is_refused_with_what_is_wrong(
    tmp_path: Path, make: Callable[[dict[str, Any]], bytes], slug: str, complaint: str
) -> None:
    (tmp_path / "mine.pth").write_bytes(make(dict(network().state_dict())))
    problem = refused(tmp_path)
    assert problem.type.endswith(f"weights-{slug}"), problem.detail
    assert complaint in problem.detail


Saved = dict[str, torch.Tensor]


def under(prefix: str, state: Saved) -> Saved:
    return {prefix + key: value for key, value in state.items()}


AS_TRAINING_SCRIPTS_SAVE: dict[str, tuple[Callable[[Saved], Any], dict[str, Any]]] = {
    "plain": (lambda state: state, {}),
    "compiled, then data-parallel": (lambda state: under("module._orig_mod.", state), {"prefix": "module._orig_mod."}),
    "data-parallel, then compiled": (lambda state: under("_orig_mod.module.", state), {"prefix": "_orig_mod.module."}),
    "partly data-parallel": (
        lambda state: {key if key.startswith("fc") else f"module.{key}": value for key, value in state.items()},
        {"prefix": "module."},
    ),
    "Hugging Face": (lambda state: under("timm_model.", state), {"prefix": "timm_model."}),
    "Lightning": (
        lambda state: {"state_dict": under("model.", state), "epoch": 1, "callbacks": {}, "optimizer_states": []},
        {"container": "state_dict", "prefix": "model."},
    ),
    "averaged": (
        lambda state: {"n_averaged": torch.tensor(5), **under("module.", state)},
        {"prefix": "module.", "left_out": ("n_averaged",)},
    ),
    "without counters of batches": (
        lambda state: {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")},
        {},
    ),
    "net": (lambda state: {"net": state, "acc": 71.5}, {"container": "net"}),
    "model_state_dict": (lambda state: {"model_state_dict": state, "loss": 0.1}, {"container": "model_state_dict"}),
    "DeepSpeed": (lambda state: {"module": state, "global_steps": 10}, {"container": "module"}),
    "only averaged": (lambda state: {"ema": state}, {"container": "ema"}),
    "parameters": (
        lambda state: {k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in state.items()},
        {},
    ),
    "double": (lambda state: {k: v.double() if v.is_floating_point() else v for k, v in state.items()}, {}),
}


@pytest.mark.parametrize("case", AS_TRAINING_SCRIPTS_SAVE)
def test_a_state_dict_is_loaded_as_training_scripts_save_it_and_the_report_says_how(tmp_path: Path, case: str) -> None:
    save, told = AS_TRAINING_SCRIPTS_SAVE[case]
    mine = network()
    torch.save(save(mine.state_dict()), tmp_path / "mine.pth")
    found = load(tmp_path)
    image = torch.randn(1, 3, 160, 160)
    assert torch.equal(found.module(image), mine.eval()(image))
    assert found.weights.model_dump(include={"container", "prefix", "left_out"}) == told


@pytest.mark.parametrize("suffix", [".safetensors", ".pth.tar", ".pth", ".pt", ".ckpt", ".bin"])
def test_the_usual_endings_are_known(tmp_path: Path, suffix: str) -> None:
    save = save_file if suffix == ".safetensors" else torch.save
    save(network().state_dict(), tmp_path / f"run.best{suffix}")
    (tmp_path / "run.best.json").write_text('{"mean": [0.1, 0.2, 0.3]}')
    assert load(tmp_path, "run.best").preprocessing.mean == (0.1, 0.2, 0.3)
    assert "there are: run.best." in refused(tmp_path, "run").detail


@pytest.mark.parametrize(("raw", "averaged"), [("state_dict", "state_dict_ema"), ("model", "model_ema")])
def test_averaged_weights_are_taken_before_raw_ones_as_timm_does_unless_the_options_say_otherwise(
    tmp_path: Path, raw: str, averaged: str
) -> None:
    states = {
        raw: network(1000).state_dict(),
        averaged: under("module.", timm.create_model("test_resnet").state_dict()),
    }
    torch.save({**states, "epoch": 3}, tmp_path / "mine.pth")
    by_timm = timm.create_model("test_resnet")
    timm.models.load_checkpoint(by_timm, str(tmp_path / "mine.pth"))
    image = torch.randn(1, 3, 160, 160)
    found = load(tmp_path)
    assert found.weights.container == averaged
    assert torch.equal(found.module(image), by_timm.eval()(image))
    (tmp_path / "mine.json").write_text(json.dumps({"container": raw}))
    found = load(tmp_path)
    assert found.weights.container == raw
    assert torch.equal(found.module(image), network(1000).eval()(image))
    (tmp_path / "mine.json").write_text('{"container": "optimizer"}')
    detail = refused(tmp_path).detail
    assert f"there is no dictionary of tensors 'optimizer' in it; there are: {raw}, {averaged}" in detail


def test_an_auxiliary_head_that_evaluation_never_runs_may_be_missing_or_have_other_classes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    mine = torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=False, num_classes=10)
    torch.save(mine.state_dict(), tmp_path / "without.pth")
    name = "torchvision/googlenet"
    image = torch.randn(1, 3, 224, 224)
    found = load(tmp_path, "without", name)
    assert torch.equal(found.module(image), mine.eval()(image))
    assert found.weights.left_out is None
    heads = torchvision.models.googlenet(weights=None, init_weights=False).state_dict()
    heads = {key: value for key, value in heads.items() if key.startswith("aux")}
    torch.save({**mine.state_dict(), **heads}, tmp_path / "other.pth")
    found = load(tmp_path, "other", name)
    assert torch.equal(found.module(image), mine.eval()(image))
    assert found.weights.left_out == ("aux1.fc2.weight", "aux1.fc2.bias", "aux2.fc2.weight", "aux2.fc2.bias")
    incomplete = {key: value for key, value in mine.state_dict().items() if key != "conv1.conv.weight"}
    torch.save(incomplete, tmp_path / "incomplete.pth")
    with pytest.raises(AuditError, match=r"missing keys 1: conv1\.conv\.weight"):
        load(tmp_path, "incomplete", name)


@pytest.mark.parametrize(
    "body", [b"", b"\xff" * 100, (2**60).to_bytes(8, "little") + b"{}", b"\x02" + bytes(7) + b"{}"]
)
def test_broken_safetensors_are_refused(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "mine.safetensors").write_bytes(body)
    assert refused(tmp_path).type.endswith(("weights-corrupt", "weights-mismatch"))


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pickle_is_not_executed(tmp_path: Path, is_zip: bool) -> None:
    trap = tmp_path / "executed"
    torch.save({"fc.weight": Trap(trap)}, tmp_path / "mine.pth", _use_new_zipfile_serialization=is_zip)
    problem = refused(tmp_path)
    assert problem.type.endswith("weights-unsafe")
    assert "none of it was executed" in problem.detail
    assert not trap.exists()


def test_an_unknown_name_is_refused_with_the_names_that_exist(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "run-1.safetensors")
    assert "there are: run-1." in refused(tmp_path, "run-2").detail
    assert "ZOOAUDIT_CHECKPOINTS" in refused(None).detail
    (tmp_path / "..mine.pth").write_bytes(b"")
    assert refused(tmp_path / "absent").type.endswith("unknown-checkpoint")


def test_its_version_follows_what_is_in_its_files_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    save_file(network().state_dict(), file)
    first = version("mine", tmp_path)
    os.utime(file, (1, 1))
    save_file(network(8).state_dict(), tmp_path / "mine-2.safetensors")
    assert version("mine", tmp_path) == first != version("mine-2", tmp_path)
    (tmp_path / "mine.json").write_text('{"input_size": 192}')
    with_options = version("mine", tmp_path)
    save_file(network(8).state_dict(), file)
    assert len({first, with_options, version("mine", tmp_path)}) == 3
    assert load(tmp_path).weights.version == version("mine", tmp_path)


def test_an_audit_of_what_was_there_before_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    save_file(network().state_dict(), file)
    quick = {"dataset": "synthetic", "num_images": 2, "translations_px": (8,), "rotations_deg": ()}
    request = AuditRequest(model=NAME, weights="checkpoint:mine", **quick)
    report = run(request, checkpoints=tmp_path)
    again = request_of(report)
    assert again.model == "timm/test_resnet.r160_in1k"
    assert again.checkpoint_version == report.model.weights.version == version("mine", tmp_path)
    assert report.id == audit_id(again) == run(again, checkpoints=tmp_path).id
    save_file(network(8).state_dict(), file)
    with pytest.raises(AuditError, match="has been replaced") as raised:
        run(again, checkpoints=tmp_path)
    assert raised.value.problem.type.endswith("checkpoint-replaced")
    assert run(request, checkpoints=tmp_path).id != report.id


def test_a_file_that_is_replaced_while_it_is_read_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.safetensors"
    save_file(network().state_dict(), file)
    read = safetensors.torch.load_file

    def read_and_replace(path: Path) -> Any:
        content = read(path)
        save_file(network(8).state_dict(), file)
        return content

    monkeypatch.setattr(safetensors.torch, "load_file", read_and_replace)
    assert refused(tmp_path).type.endswith("checkpoint-replaced")


def put_pipe(file: Path) -> None:
    os.mkfifo(file)


def put_link_to_pipe(file: Path) -> None:
    os.mkfifo(file.with_name("pipe"))
    file.symlink_to("pipe")


IRREGULAR: dict[str, Callable[[Path], None]] = {
    "a pipe": put_pipe,
    "a link to a pipe": put_link_to_pipe,
    "a link to a device": lambda file: file.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
    "a link to nothing": lambda file: file.symlink_to("nothing"),
    "a link to itself": lambda file: file.symlink_to(file.name),
}


@pytest.mark.parametrize("kind", IRREGULAR)
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    IRREGULAR[kind](tmp_path / "mine.pth")
    problem = refused(tmp_path)
    assert problem.type.endswith("unknown-checkpoint")
    assert "mine.pth is no regular file" in problem.detail
    save_file(network().state_dict(), tmp_path / "mine.safetensors")  # which the other file does not hide
    assert load(tmp_path).weights.kind == "checkpoint"
    (tmp_path / "options").mkdir()
    save_file(network().state_dict(), tmp_path / "options" / "mine.safetensors")
    IRREGULAR[kind](tmp_path / "options" / "mine.json")
    problem = refused(tmp_path / "options")
    assert problem.type.endswith("checkpoint-options")
    assert "mine.json is no regular file" in problem.detail


def test_a_link_counts_as_the_file_to_which_it_leads_wherever_that_is(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    save_file(network().state_dict(), tmp_path / "elsewhere.safetensors")
    (tmp_path / "checkpoints" / "mine.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    first = load(tmp_path / "checkpoints").weights.version
    save_file(network(8).state_dict(), tmp_path / "elsewhere.safetensors")
    assert load(tmp_path / "checkpoints").weights.version != first


def test_options_that_are_too_long_are_not_read(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text(" " * 100_000 + "{}")
    assert "longer than 65536 bytes" in refused(tmp_path).detail


def packed(pickled: bytes) -> bytes:
    """What torch saves, with another pickle in it."""
    plain, changed = io.BytesIO(), io.BytesIO()
    torch.save({}, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(changed, "w") as new:
        for item in old.infolist():
            new.writestr(item.filename, pickled if item.filename.endswith("data.pkl") else old.read(item))
    return changed.getvalue()


def header(entries: int) -> bytes:
    text = json.dumps(
        {f"k{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(entries)}
    ).encode()
    return len(text).to_bytes(8, "little") + text


HOSTILE: dict[str, tuple[str, Callable[[], bytes], str, str]] = {
    "lists in lists": (".pth", lambda: packed(b"\x80\x02" + b"]" * 10**6 + b"a" * (10**6 - 1) + b"."), "mismatch", ""),
    "a key that is a tuple in tuples": (".pth", lambda: packed(b"\x80\x02})" + b"\x85" * 10**6 + b"K\x01s."), "", ""),
    "an array larger than any memory": (
        ".pth",
        lambda: packed(b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + (2**46).to_bytes(6, "little") + b"\x85R."),
        "unsafe",
        "more memory",
    ),
    "one number as a million": (
        ".pth",
        lambda: pth({**network().state_dict(), "fc.weight": torch.zeros(1).expand(10**8, 96)}),
        "unsafe",
        "fc.weight would unpack to more numbers",
    ),
    "more keys than a model has": (
        ".pth",
        lambda: pth(dict.fromkeys(map(str, range(200_000)), torch.zeros(1))),
        "",
        "200000",
    ),
    "a header with more keys": (".safetensors", lambda: header(200_000), "unsafe", "200000 tensors"),
    "a header with a million keys": (".safetensors", lambda: header(1_000_000), "corrupt", "its header is to have"),
    "a name that nobody can read": (
        ".pth",
        lambda: pth({"\x1b[31m\n" + "z" * 10**6: torch.zeros(1)}),
        "mismatch",
        r"\x1b",
    ),
    "a sparse tensor": (".pth", lambda: pth({"a": torch.zeros(3).to_sparse()}), "mismatch", "sparse or quantised"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_a_few_words(tmp_path: Path, case: str) -> None:
    suffix, make, slug, complaint = HOSTILE[case]
    (tmp_path / f"mine{suffix}").write_bytes(make())
    problem = refused(tmp_path)
    assert slug in problem.type.rpartition(":")[2]
    assert complaint in problem.detail
    assert problem.detail.isprintable()
    assert len(problem.detail) < 1000


def test_a_file_that_takes_too_long_is_refused_by_the_audit_and_by_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each pass over the names takes off one of a million prefixes.
    (tmp_path / "mine.pth").write_bytes(pth({"module." * 10**6 + "fc.bias": torch.zeros(7)}))
    monkeypatch.setattr(checkpoints, "READ_LIMIT_S", 1.0)
    assert refused(tmp_path).detail.endswith("Finding out what is in it took longer than 1 s.")
    with pytest.raises(AuditError, match="took longer than 1 s"):
        checkpoints.open_outline("mine", tmp_path)


def test_a_process_that_is_killed_says_nothing_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(network().state_dict(), tmp_path / "mine.safetensors")
    monkeypatch.setattr(checkpoints, "find_state_dict", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    assert refused(tmp_path).type.endswith("out-of-memory")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    assert httpx.put(f"{url}/zoo").status_code == 200
    yield f"{url}/zoo"
    server.stop()


def test_a_bucket_is_as_good_as_a_folder(bucket: str, tmp_path: Path) -> None:
    mine = network(name="test_vit", img_size=192)
    save_file(mine.state_dict(), tmp_path / "mine.safetensors")
    for name, content in {
        "runs/mine.safetensors": (tmp_path / "mine.safetensors").read_bytes(),
        "runs/mine.json": b'{"input_size": 192}',
        "runs/other.pth": b"not read",
        "runs/deeper/mine.pth": b"not here",
    }.items():
        assert httpx.put(f"{bucket}/{name}", content=content).status_code == 200
    seen: list[Progress] = []
    model = zoo.load("timm/test_vit", "checkpoint:mine", seen.append, checkpoints="s3://zoo/runs")
    image = torch.randn(1, 3, 192, 192)
    assert torch.equal(model.module(image), mine.eval()(image))
    assert model.weights.sha256 == hashlib.sha256((tmp_path / "mine.safetensors").read_bytes()).hexdigest()
    assert model.weights.version == version("mine", "s3://zoo/runs")
    obstore.put(from_url("s3://zoo/runs", client_options={"allow_http": True}), "mine.json", b'{"input_size": 160}')
    assert model.weights.version != version("mine", "s3://zoo/runs")
    size = (tmp_path / "mine.safetensors").stat().st_size + len('{"input_size": 192}')
    assert [step.total for step in seen if step.done == size] == [size]
    with pytest.raises(AuditError, match="there are: mine, other"):
        zoo.load("timm/test_vit", "checkpoint:yours", seen.append, checkpoints="s3://zoo/runs")
    with pytest.raises(AuditError, match="does not answer") as raised:
        zoo.load("timm/test_vit", "checkpoint:mine", seen.append, checkpoints="s3://no-such-bucket")
    assert raised.value.problem.type.endswith("checkpoints-unavailable")


def test_a_check_reads_no_more_of_a_bucket_than_it_needs(bucket: str, tmp_path: Path) -> None:
    state = network().state_dict()
    state["fc.weight"] = torch.zeros(7, 3_000_000)  # 84 MB
    save_file(state, tmp_path / "mine.safetensors")
    torch.save(state, tmp_path / "other.pth")
    for file in ("mine.safetensors", "other.pth"):
        assert httpx.put(f"{bucket}/{file}", content=(tmp_path / file).read_bytes()).status_code == 200
    # The client of the bucket works in one process only, and pytest's has used it already.
    code = (
        "import obstore\n"
        "from worker.zoo import bucket, checkpoints\n"
        "from worker.children import in_child\n"
        "for name in ('mine', 'other'):\n"
        "    print(checkpoints.open_outline(name, 's3://zoo').state['fc.weight'].shape)\n"
        "store = bucket.Bucket('s3://zoo')\n"
        "taken, get_range = [], obstore.get_range\n"
        "def counted(*args, length, **options):\n"
        "    taken.append(length)\n"
        "    return get_range(*args, length=length, **options)\n"
        "obstore.get_range = counted\n"
        "for name in ('mine', 'other'):\n"
        "    checkpoints._outline(name, 's3://zoo')\n"
        "print(sum(taken) < 30_000_000, in_child(lambda: 'forked', 20))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout.splitlines() == ["torch.Size([7, 3000000])"] * 2 + ["True forked"], done.stderr
