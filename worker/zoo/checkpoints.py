"""The operator's own checkpoints, in a folder or bucket: ``checkpoint:NAME`` is its file NAME.safetensors or NAME.pth.

The operator may replace such a file at any time; its version tells one content from another. NAME.json beside it may
say what the architecture does not, ``{"num_classes": 10, "input_size": 288, "mean": [...], "std": [...]}``, and which
of several dictionaries of weights in the file is meant, ``{"container": "state_dict"}``.

Pickles are read with torch's restricted unpickler only, which executes nothing. A file is refused if it holds anything
but plain tensors, or would unpack to more bytes than it has.
"""

import hashlib
import json
import pickle
import re
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from zooaudit.contract import Weights, said

from worker.children import ChildDied, ChildTimedOut, in_child, limit_memory
from worker.errors import AuditError
from worker.zoo import tensor_files
from worker.zoo.checkpoint_files import Folder, Place, Unavailable, choose, name_of, refused
from worker.zoo.download import OnProgress
from worker.zoo.state_dicts import StateDict, find_state_dict, legible

MAX_KEYS_NAMED = 5
MAX_OPTIONS_BYTES = 65_536
READ_LIMIT_S = 60.0
"""How long it may take to read what is in a file, without the tensors' numbers. Files of the largest models take a
second; a hostile one may take years."""
READ_MEMORY_BYTES = 2 * 2**30

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
class Outline:
    """The tensors of a checkpoint by their names, which may have shapes only, and the options beside its file."""

    name: str
    state: Mapping[str, Tensor]
    options: CheckpointOptions

    def classes(self, classifiers: Sequence[str]) -> int | None:
        """Read the number of classes: from NAME.json, else from the weights of the modules at ``classifiers``."""
        weights = [self.state[f"{path}.weight"] for path in classifiers if f"{path}.weight" in self.state]
        return self.options.num_classes or (len(weights[-1]) if weights and weights[-1].ndim else None)

    def compare(self, module: nn.Module, unused: Callable[[], Collection[str]]) -> list[str]:
        """Compare names and shapes with those of the module, and return the names of tensors that are to be left out.

        Entries of the module that evaluation never uses, such as an auxiliary head's, may be missing or have another
        shape; ``unused`` names them. Raises AuditError if other names or shapes differ.
        """
        own = module.state_dict()
        missing = [key for key in own if key not in self.state and not key.endswith(".num_batches_tracked")]
        unexpected = [key for key in self.state if key not in own]
        reshaped = [key for key in self.state if key in own and self.state[key].shape != own[key].shape]
        may_differ = unused() if missing or reshaped else ()
        shapes = [
            f"{key} is {tuple(self.state[key].shape)} instead of {tuple(own[key].shape)}"
            for key in reshaped
            if key not in may_differ
        ]
        missing = [key for key in missing if key not in may_differ]
        unexpected = [legible(key) for key in unexpected]
        differences = [
            f"{what} {len(keys)}: {', '.join(keys[:MAX_KEYS_NAMED])}{', ...' if len(keys) > MAX_KEYS_NAMED else ''}"
            for what, keys in (("missing keys", missing), ("unexpected keys", unexpected), ("other shapes", shapes))
            if keys
        ]
        if differences:
            detail = f"It does not fit the architecture: {'; '.join(differences)}."
            raise refused("weights-mismatch", self.name, detail)
        return [key for key in reshaped if key in may_differ]


@dataclass(frozen=True)
class Checkpoint(Outline):
    """A checkpoint with all its numbers, and the ``weights`` that a report states."""

    weights: Weights

    def load_into(self, module: nn.Module, unused: Callable[[], Collection[str]]) -> Weights:
        """Copy the tensors into the module, and return the weights with the names of those that were left out.

        Raises AuditError, before anything is copied, if :meth:`compare` does.
        """
        left_out = self.compare(module, unused)
        module.load_state_dict({key: self.state[key] for key in self.state if key not in left_out}, strict=False)
        all_left_out = (*(self.weights.left_out or ()), *left_out)
        return self.weights.model_copy(update={"left_out": all_left_out or None})


def version(name: str, location: str | Path | None) -> str:
    """Return 16 hex digits that tell the present content of the checkpoint's files from any other content.

    They follow from the bytes of the files in a folder, or from their ETags in a bucket. ``location`` is as for
    :func:`open_checkpoint`. Raises AuditError if there is no such checkpoint.
    """
    with _refusing_unavailable(name):
        place = _place(location)
        contents = [(file, place.tag(file)) for file in choose(name, place) if file in place.files]
    return hashlib.sha256(repr(contents).encode()).hexdigest()[:16]


def _place(location: str | Path | None) -> Place:
    if not _is_bucket(location):
        return Folder(location)
    # Imported here: whoever measures from a folder needs no client for buckets.
    from worker.zoo.bucket import Bucket

    return Bucket(str(location))


def _is_bucket(location: str | Path | None) -> bool:
    return "://" in str(location)


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
                str(location), lambda file: name in (name_of(file), file.removesuffix(".json")), on_progress
            ) as copy,
        ):
            checkpoint = _in_folder(name, copy, version_before)
    else:
        checkpoint = _in_folder(name, Path(location or ""), version_before)
    if version(name, location) != version_before:
        raise refused("checkpoint-replaced", name, "It was replaced while it was read. Ask for the audit again.")
    return checkpoint


def _in_folder(name: str, path: Path, content_version: str) -> Checkpoint:
    outline = open_outline(name, path)
    folder = Folder(path)
    file, _ = choose(name, folder)
    with _refusing_unreadable(name):
        sha256 = folder.tag(file)
        found = _found(name, tensor_files.read(folder.files[file]), outline.options, folder.size(file))
    provenance = Weights(
        kind="checkpoint",
        origin=name,
        sha256=sha256,
        version=content_version,
        container=found.container,
        prefix=found.prefix,
        left_out=found.left_out or None,
    )
    return Checkpoint(name, found.tensors, outline.options, provenance)


def open_outline(name: str, location: str | Path | None) -> Outline:
    """Read the names and shapes of a checkpoint's tensors, in a child process that no file can keep for long.

    Raises AuditError as :func:`open_checkpoint` does.
    """
    try:
        answer = json.loads(in_child(partial(_outline_json, name, location), READ_LIMIT_S))
    except ChildTimedOut as error:
        slug = "checkpoints-unavailable" if _is_bucket(location) else "weights-unsafe"
        raise refused(slug, name, f"Finding out what is in it {error}.") from error
    except ChildDied as error:
        if error.signal == signal.SIGKILL:
            detail = "The process that read it was killed, which is what happens when memory runs out."
            raise refused("out-of-memory", name, detail) from error
        raise refused("weights-unsafe", name, f"The process that read it {error}.") from error
    if answer["error"]:
        raise AuditError(*answer["error"])
    state = {key: torch.empty(shape, device="meta") for key, shape in answer["shapes"].items()}
    return Outline(name, state, CheckpointOptions(**answer["options"]))


def _outline_json(name: str, location: str | Path | None) -> str:
    try:
        found, options = _outline(name, location)
    except AuditError as error:
        return json.dumps({"error": (error.problem.type.rpartition(":")[2], error.problem.detail)})
    shapes = {key: tuple(tensor.shape) for key, tensor in found.tensors.items()}
    return json.dumps({"error": None, "options": options.model_dump(), "shapes": shapes})


def _outline(name: str, location: str | Path | None) -> tuple[StateDict, CheckpointOptions]:
    with _refusing_unavailable(name):
        place = _place(location)
        file, options_file = choose(name, place)
        text = None
        if options_file in place.files:
            with place.open(options_file) as stream:
                text = stream.read(MAX_OPTIONS_BYTES + 1)
        size = place.size(file)
        stream = place.open(file)
    limit_memory(READ_MEMORY_BYTES + 2 * size)
    with stream, _refusing_unreadable(name):
        content = tensor_files.read_shapes(stream, file, size)
        options = _options(name, text)
        return _found(name, content, options, size), options


def _found(name: str, content: Any, options: CheckpointOptions, size: int) -> StateDict:
    """Find the tensors of the model in the ``content`` of a file of ``size`` bytes."""
    try:
        found = find_state_dict(content, options.container)
    except ValueError as error:
        raise refused("weights-mismatch", name, f"It is no state dict: {error}.") from error
    tensor_files.refuse_expanded(found.tensors, size)
    return found


def _options(name: str, text: bytes | None) -> CheckpointOptions:
    if text is None:
        return CheckpointOptions()
    if len(text) > MAX_OPTIONS_BYTES:
        detail = f"{name}.json is longer than {MAX_OPTIONS_BYTES} bytes, and so holds no options."
        raise refused("checkpoint-options", name, detail)
    try:
        return CheckpointOptions.model_validate_json(text)
    except ValidationError as error:
        mistakes = "; ".join(
            f"{legible('.'.join(map(str, item['loc']))) or 'it'}: {said(item)}" for item in error.errors()[:5]
        )
        raise refused("checkpoint-options", name, f"{name}.json is wrong: {mistakes}.") from error


@contextmanager
def _refusing_unavailable(name: str) -> Iterator[None]:
    """Turn the OSError of a folder or bucket that does not answer into an AuditError."""
    try:
        yield
    except OSError as error:
        raise _unavailable(name, error) from error


def _unavailable(name: str, error: OSError) -> AuditError:
    why = error.strerror or type(error).__name__
    detail = f"The place of the checkpoints does not answer: {why}. Ask for the audit again."
    return refused("checkpoints-unavailable", name, detail)


@contextmanager
def _refusing_unreadable(name: str) -> Iterator[None]:
    """Turn what reading a broken file raises, which can be anything, into an AuditError."""
    try:
        yield
    except AuditError:
        raise
    except Unavailable as error:
        raise _unavailable(name, error) from error
    except tensor_files.UnsafeFile as error:
        raise refused("weights-unsafe", name, str(error)) from error
    except MemoryError as error:
        detail = "What is in it takes much more memory than a file of its size should; not unpacked."
        raise refused("weights-unsafe", name, detail) from error
    except Exception as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> AuditError:
    message = " ".join(str(error).split())
    if unsupported := re.search(r"Unsupported (global|class)\S* \S+ \S+", message):
        detail = (
            f"It holds more than tensors, and none of it was executed ({unsupported[0]}). Save its state_dict() alone."
        )
        return refused("weights-unsafe", name, detail)
    # Torch's own message advises to read the file without protection.
    why = (
        "no state dict"
        if isinstance(error, pickle.UnpicklingError)
        else f"{type(error).__name__}: {message.partition('. ')[0]}"[:300]
    )
    return refused("weights-corrupt", name, f"It cannot be read: {why}. It may be cut off, or no checkpoint at all.")
