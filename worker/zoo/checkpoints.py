"""The operator's own checkpoints: ``checkpoint:NAME`` is a file NAME.safetensors or NAME.pth in the operator's folder
or bucket, which may be replaced: its version says by what content.

Beside it NAME.json may say what the architecture does not: ``{"num_classes": 10, "input_size": 288, "mean": [...],
"std": [...]}``. Pickles are read with torch's restricted unpickler only, which executes nothing; what is not plain
tensors, or would unpack to more than the file holds, is refused.
"""

import hashlib
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from timm.models import clean_state_dict
from torch import Tensor, nn
from zooaudit.contract import Progress, Weights

from worker.errors import AuditError

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
NESTED = ("state_dict", "model")
"""Where training scripts put the weights beside their optimiser's state."""
FEW = 5
MANY = 20

Unit = Annotated[float, Field(ge=0, le=1)]


class Options(BaseModel):
    """What NAME.json may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_classes: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    input_size: Annotated[int, Field(ge=16, le=4096)] | None = None
    mean: tuple[Unit, Unit, Unit] | None = None
    std: tuple[Annotated[float, Field(gt=0, le=10)], ...] | None = Field(None, min_length=3, max_length=3)


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file, its options and where it came from."""

    name: str
    state: Mapping[str, Tensor]
    options: Options
    weights: Weights

    def classes(self, classifiers: Sequence[str]) -> int | None:
        """How many classes there are: as NAME.json says, else as the weights of the classifier say."""
        weights = [self.state[f"{path}.weight"] for path in classifiers if f"{path}.weight" in self.state]
        return self.options.num_classes or (len(weights[-1]) if weights and weights[-1].ndim else None)

    def load_into(self, module: nn.Module) -> None:
        """Copy every tensor. AuditError, and nothing is copied, if there are others, fewer, or one of another shape."""
        own = module.state_dict()
        missing = [key for key in own if key not in self.state]
        unexpected = [key for key in self.state if key not in own]
        shapes = [
            f"{key} is {tuple(tensor.shape)} instead of {tuple(own[key].shape)}"
            for key, tensor in self.state.items()
            if key in own and tensor.shape != own[key].shape
        ]
        told = [
            f"{what} {len(keys)}: {', '.join(keys[:FEW])}{', ...' if len(keys) > FEW else ''}"
            for what, keys in (("missing keys", missing), ("unexpected keys", unexpected), ("other shapes", shapes))
            if keys
        ]
        if told:
            raise self._wrong("weights-mismatch", f"It does not fit the architecture: {'; '.join(told)}.")
        module.load_state_dict(dict(self.state))

    def _wrong(self, slug: str, detail: str) -> AuditError:
        return _wrong(slug, self.name, detail)


def version(name: str, where: str | Path | None) -> str:
    """Which content the files of that checkpoint have now: 16 hex digits. AuditError when there is no such checkpoint.

    In a folder it follows from their bytes, in a bucket from their ETags.
    """
    with _answering(name):
        if _is_bucket(where):
            # Imported here: who measures from a folder needs no client for buckets.
            from worker.zoo.bucket import tags

            there = tags(str(where))
            told = [(file, there[file]) for file in _files(name, there, where) if file in there]
        else:
            paths = {path.name: path for path in _listed(where)}
            told = [(file, _sha256(paths[file])) for file in _files(name, paths, where) if file in paths]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def open_checkpoint(name: str, where: str | Path | None, on_progress: Callable[[Progress], None]) -> Checkpoint:
    """The checkpoint of that name, the part after ``checkpoint:``, in a folder or at a URL such as
    ``s3://bucket/prefix``. AuditError when there is none, it is unsafe or broken, or it is replaced meanwhile."""
    begun = version(name, where)
    if _is_bucket(where):
        from worker.zoo.bucket import fetched

        with _answering(name), fetched(str(where), lambda file: Path(file).stem == name, on_progress) as folder:
            found = _in_folder(name, folder, begun)
    else:
        found = _in_folder(name, Path(where or ""), begun)
    if version(name, where) != begun:
        raise _wrong("checkpoint-replaced", name, "It was replaced while it was read. Ask for the audit again.")
    return found


def _in_folder(name: str, folder: Path, content: str) -> Checkpoint:
    weights, options = (folder / file for file in _files(name, [path.name for path in _listed(folder)], folder))
    try:
        sha256 = _sha256(weights)
        state = _tensors(name, _read(name, weights))
    except (AuditError, MemoryError):
        raise
    except Exception as error:  # Whatever a broken file raises, in either format.
        raise _unreadable(name, error) from error
    return Checkpoint(
        name, state, _options(name, options), Weights(kind="checkpoint", origin=name, sha256=sha256, version=content)
    )


def _is_bucket(where: str | Path | None) -> bool:
    return "://" in str(where)


def _listed(folder: str | Path | None) -> list[Path]:
    return list(Path(folder).iterdir()) if folder and Path(folder).is_dir() else []


def _files(name: str, there: Iterable[str], where: str | Path | None) -> tuple[str, str]:
    """Of the file names ``there`` that of the weights, and what that of their options would be."""
    weights = sorted(file for file in there if Path(file).suffix in SUFFIXES)
    file = next((file for file in weights if Path(file).stem == name), None)
    if file is None:
        names = ", ".join(sorted({Path(file).stem for file in weights})[:MANY]) or "none"
        unset = "" if where else " The operator has not set ZOOAUDIT_CHECKPOINTS, the folder that they are in."
        raise _wrong("unknown-checkpoint", name, f"No checkpoint is called so; there are: {names}.{unset}")
    return file, f"{name}.json"


def _sha256(file: Path) -> str:
    seen = file.stat()
    return _sha256_of(file, seen.st_size, seen.st_mtime_ns)


@lru_cache(1000)
def _sha256_of(file: Path, _size: int, _mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _answering(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        detail = f"The place of the checkpoints does not answer: {type(error).__name__}. Ask for the audit again."
        raise _wrong("checkpoints-unavailable", name, detail) from error


def _read(name: str, file: Path) -> Any:
    if file.suffix == ".safetensors":
        return safetensors.torch.load_file(file)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(item.file_size for item in archive.infolist())
            if unpacked > file.stat().st_size or any(item.compress_type for item in archive.infolist()):
                raise _wrong(
                    "weights-unsafe", name, "Its archive is compressed, which torch never writes; not unpacked."
                )
    return torch.load(file, map_location="cpu", weights_only=True)


def _tensors(name: str, read: Any) -> dict[str, Tensor]:
    nested = [read[key] for key in NESTED if isinstance(read, Mapping) and isinstance(read.get(key), Mapping)]
    state = clean_state_dict(dict(nested[0] if nested else read)) if nested or isinstance(read, Mapping) else {}
    others = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if not state or others:
        what = (
            f"{', '.join(map(str, others[:FEW]))} are no tensors"
            if others
            else "there is no dictionary of tensors in it"
        )
        raise _wrong("weights-mismatch", name, f"It is no state dict: {what}.")
    return state


def _options(name: str, file: Path) -> Options:
    if not file.is_file():
        return Options()
    try:
        return Options.model_validate_json(file.read_bytes())
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'it'}: {item['msg']}" for item in error.errors())
        raise _wrong("checkpoint-options", name, f"{file.name} is wrong: {told}.") from error


def _unreadable(name: str, error: Exception) -> AuditError:
    said = " ".join(str(error).split())
    if found := re.search(r"Unsupported (global|class)\S* \S+ \S+", said):
        detail = f"It holds more than tensors, and none of it was executed ({found[0]}). Save its state_dict() alone."
        return _wrong("weights-unsafe", name, detail)
    # Torch's advice is to read it without protection.
    why = (
        "no state dict"
        if isinstance(error, pickle.UnpicklingError)
        else f"{type(error).__name__}: {said.partition('. ')[0]}"[:300]
    )
    return _wrong("weights-corrupt", name, f"It cannot be read: {why}. It may be cut off, or no checkpoint at all.")


def _wrong(slug: str, name: str, detail: str) -> AuditError:
    return AuditError(slug, f"checkpoint:{name}: {detail}")
