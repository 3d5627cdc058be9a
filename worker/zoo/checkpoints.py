"""The operator's own checkpoints, in a folder or bucket: ``checkpoint:NAME`` is its file NAME.safetensors or NAME.pth.

The operator may replace such a file at any time; its version tells one content from another. NAME.json beside it may
say what the architecture does not, ``{"num_classes": 10, "input_size": 288, "mean": [...], "std": [...]}``, and which
of several dictionaries of weights in the file is meant, ``{"container": "state_dict"}``.

Pickles are read with torch's restricted unpickler only, which executes nothing. A file is refused if it holds anything
but plain tensors, or would unpack to more bytes than it has.
"""

import hashlib
import pickle
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from zooaudit.contract import Weights

from worker.errors import AuditError
from worker.zoo.download import OnProgress
from worker.zoo.state_dicts import find_state_dict

SUFFIXES = (".safetensors", ".pth.tar", ".pth", ".pt", ".ckpt", ".bin")
MAX_KEYS_NAMED = 5
MAX_CHECKPOINTS_NAMED = 20

Intensity = Annotated[float, Field(ge=0, le=1)]


class CheckpointOptions(BaseModel):
    """The content of NAME.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_classes: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    input_size: Annotated[int, Field(ge=16, le=4096)] | None = None
    mean: tuple[Intensity, Intensity, Intensity] | None = None
    std: tuple[Annotated[float, Field(gt=0, le=10)], ...] | None = Field(None, min_length=3, max_length=3)
    container: Annotated[str, Field(min_length=1, max_length=64)] | None = None

    def normalisation(self) -> dict[str, Any]:
        """``mean`` and ``std``, each only if NAME.json has it."""
        return self.model_dump(include={"mean", "std"}, exclude_none=True)


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file, the options beside it, and the ``weights`` that a report states."""

    name: str
    state: Mapping[str, Tensor]
    options: CheckpointOptions
    weights: Weights

    def classes(self, classifiers: Sequence[str]) -> int | None:
        """Read the number of classes: from NAME.json, else from the weights of the modules at ``classifiers``."""
        weights = [self.state[f"{path}.weight"] for path in classifiers if f"{path}.weight" in self.state]
        return self.options.num_classes or (len(weights[-1]) if weights and weights[-1].ndim else None)

    def load_into(self, module: nn.Module, unused: Callable[[], Collection[str]]) -> Weights:
        """Copy the tensors into the module, and return the weights with the names of those that were left out.

        Entries of the module that evaluation never uses, such as an auxiliary head's, may be missing or have another
        shape; ``unused`` names them. Raises AuditError, before anything is copied, if other names or shapes differ.
        """
        own = module.state_dict()
        missing = [key for key in own if key not in self.state and not key.endswith(".num_batches_tracked")]
        unexpected = [key for key in self.state if key not in own]
        reshaped = [key for key in self.state if key in own and self.state[key].shape != own[key].shape]
        may_differ = unused() if missing or reshaped else ()
        left_out = [key for key in reshaped if key in may_differ]
        shapes = [
            f"{key} is {tuple(self.state[key].shape)} instead of {tuple(own[key].shape)}"
            for key in reshaped
            if key not in may_differ
        ]
        missing = [key for key in missing if key not in may_differ]
        differences = [
            f"{what} {len(keys)}: {', '.join(keys[:MAX_KEYS_NAMED])}{', ...' if len(keys) > MAX_KEYS_NAMED else ''}"
            for what, keys in (("missing keys", missing), ("unexpected keys", unexpected), ("other shapes", shapes))
            if keys
        ]
        if differences:
            detail = f"It does not fit the architecture: {'; '.join(differences)}."
            raise _refused("weights-mismatch", self.name, detail)
        module.load_state_dict({key: self.state[key] for key in self.state if key not in left_out}, strict=False)
        all_left_out = (*(self.weights.left_out or ()), *left_out)
        return self.weights.model_copy(update={"left_out": all_left_out or None})


def version(name: str, location: str | Path | None) -> str:
    """Return 16 hex digits that tell the present content of the checkpoint's files from any other content.

    They follow from the bytes of the files in a folder, or from their ETags in a bucket. ``location`` is as for
    :func:`open_checkpoint`. Raises AuditError if there is no such checkpoint.
    """
    with _refusing_unavailable(name):
        if _is_bucket(location):
            # Imported here: whoever measures from a folder needs no client for buckets.
            from worker.zoo.bucket import etags

            etag_of = etags(str(location))
            contents = [(file, etag_of[file]) for file in _files(name, etag_of, location) if file in etag_of]
        else:
            paths = {path.name: path for path in _listed(location)}
            contents = [(file, _sha256(paths[file])) for file in _files(name, paths, location) if file in paths]
    return hashlib.sha256(repr(contents).encode()).hexdigest()[:16]


def open_checkpoint(name: str, location: str | Path | None, on_progress: OnProgress) -> Checkpoint:
    """Read the checkpoint of that name, which is the part after ``checkpoint:``.

    ``location`` is a folder or a URL such as ``s3://bucket/prefix``; None if the operator has set neither. Raises
    AuditError if there is no such checkpoint, it is unsafe or broken, or it is replaced while it is read.
    """
    version_before = version(name, location)
    if _is_bucket(location):
        from worker.zoo.bucket import fetched

        with (
            _refusing_unavailable(name),
            fetched(
                str(location), lambda file: name in (_name_of(file), file.removesuffix(".json")), on_progress
            ) as copy,
        ):
            checkpoint = _in_folder(name, copy, version_before)
    else:
        checkpoint = _in_folder(name, Path(location or ""), version_before)
    if version(name, location) != version_before:
        raise _refused("checkpoint-replaced", name, "It was replaced while it was read. Ask for the audit again.")
    return checkpoint


def _in_folder(name: str, folder: Path, content_version: str) -> Checkpoint:
    weights, options = (folder / file for file in _files(name, [path.name for path in _listed(folder)], folder))
    try:
        sha256 = _sha256(weights)
        content = _read(name, weights)
    except (AuditError, MemoryError):
        raise
    except Exception as error:  # A broken file can raise anything, in either format.
        raise _unreadable(name, error) from error
    chosen = _options(name, options)
    try:
        found = find_state_dict(content, chosen.container)
    except ValueError as error:
        raise _refused("weights-mismatch", name, f"It is no state dict: {error}.") from error
    provenance = Weights(
        kind="checkpoint",
        origin=name,
        sha256=sha256,
        version=content_version,
        container=found.container,
        prefix=found.prefix,
        left_out=found.left_out or None,
    )
    return Checkpoint(name, found.tensors, chosen, provenance)


def _is_bucket(location: str | Path | None) -> bool:
    return "://" in str(location)


def _listed(folder: str | Path | None) -> list[Path]:
    return list(Path(folder).iterdir()) if folder and Path(folder).is_dir() else []


def _files(name: str, files: Iterable[str], location: str | Path | None) -> tuple[str, str]:
    """The name of the weights' file, which is one of ``files``, and the name that an options file would have."""
    names_of = {file: checkpoint for file in sorted(files) if (checkpoint := _name_of(file))}
    weights = next((file for file, checkpoint in names_of.items() if checkpoint == name), None)
    if weights is None:
        names = ", ".join(sorted(set(names_of.values()))[:MAX_CHECKPOINTS_NAMED]) or "none"
        unset = "" if location else " The operator has not set ZOOAUDIT_CHECKPOINTS, the folder that they are in."
        raise _refused("unknown-checkpoint", name, f"No checkpoint is called so; there are: {names}.{unset}")
    return weights, f"{name}.json"


def _name_of(file: str) -> str | None:
    """The name of the checkpoint whose weights a file has; None if its ending says that it holds none."""
    return next((file.removesuffix(suffix) for suffix in SUFFIXES if file.endswith(suffix)), None)


def _sha256(file: Path) -> str:
    status = file.stat()
    return _sha256_of(file, status.st_size, status.st_mtime_ns)


@lru_cache(1000)
def _sha256_of(file: Path, _size: int, _mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _refusing_unavailable(name: str) -> Iterator[None]:
    """Turn the OSError of a folder or bucket that does not answer into an AuditError."""
    try:
        yield
    except OSError as error:
        detail = f"The place of the checkpoints does not answer: {type(error).__name__}. Ask for the audit again."
        raise _refused("checkpoints-unavailable", name, detail) from error


def _read(name: str, file: Path) -> Any:
    if file.suffix == ".safetensors":
        return safetensors.torch.load_file(file)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(item.file_size for item in archive.infolist())
            if unpacked > file.stat().st_size or any(item.compress_type for item in archive.infolist()):
                detail = "Its archive is compressed, which torch never writes; not unpacked."
                raise _refused("weights-unsafe", name, detail)
    return torch.load(file, map_location="cpu", weights_only=True)


def _options(name: str, file: Path) -> CheckpointOptions:
    if not file.is_file():
        return CheckpointOptions()
    try:
        return CheckpointOptions.model_validate_json(file.read_bytes())
    except ValidationError as error:
        mistakes = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'it'}: {item['msg']}" for item in error.errors())
        raise _refused("checkpoint-options", name, f"{file.name} is wrong: {mistakes}.") from error


def _unreadable(name: str, error: Exception) -> AuditError:
    message = " ".join(str(error).split())
    if unsupported := re.search(r"Unsupported (global|class)\S* \S+ \S+", message):
        detail = (
            f"It holds more than tensors, and none of it was executed ({unsupported[0]}). Save its state_dict() alone."
        )
        return _refused("weights-unsafe", name, detail)
    # Torch's own message advises to read the file without protection.
    why = (
        "no state dict"
        if isinstance(error, pickle.UnpicklingError)
        else f"{type(error).__name__}: {message.partition('. ')[0]}"[:300]
    )
    return _refused("weights-corrupt", name, f"It cannot be read: {why}. It may be cut off, or no checkpoint at all.")


def _refused(slug: str, name: str, detail: str) -> AuditError:
    return AuditError(slug, f"checkpoint:{name}: {detail}")
