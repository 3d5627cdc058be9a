"""Read a file of tensors, safetensors or what ``torch.save`` writes: all of it, or the names and shapes alone.

Pickles are read with torch's restricted unpickler only, which executes nothing.
"""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from worker.zoo.state_dicts import MAX_TENSORS

MAX_HEADER_BYTES = 16 * 2**20
"""The longest header of a safetensors file that is read: that of some 100,000 tensors."""


class UnsafeFile(Exception):
    """The file would unpack to more than it holds; the message says why."""


def read(file: Path) -> Any:
    """Read the whole content of the file. Call this after :func:`read_shapes` has read it."""
    if file.suffix == ".safetensors":
        return safetensors.torch.load_file(file)
    return torch.load(file, map_location="cpu", weights_only=True)


def read_shapes(stream: BinaryIO, name: str, size: int) -> Any:
    """Read the content of the file ``name`` of ``size`` bytes, but with tensors that have a shape and no numbers."""
    if name.endswith(".safetensors"):
        return _shapes_in_header(stream, size)
    if zipfile.is_zipfile(stream):
        with zipfile.ZipFile(stream) as archive:
            unpacked = sum(item.file_size for item in archive.infolist())
            if unpacked > size or any(item.compress_type for item in archive.infolist()):
                raise UnsafeFile("Its archive is compressed, which torch never writes; not unpacked.")
    stream.seek(0)
    return torch.load(stream, map_location="meta", weights_only=True)


def _shapes_in_header(stream: BinaryIO, size: int) -> dict[str, Tensor]:
    """Read the header of a safetensors file: the length in 8 bytes, then JSON, with an entry for each tensor."""
    length = int.from_bytes(stream.read(8), "little")
    if length > min(size, MAX_HEADER_BYTES):
        raise ValueError(f"its header is to have {length} bytes, more than there are or than any model needs")
    entries = json.loads(stream.read(length))
    entries.pop("__metadata__", None)
    if len(entries) > MAX_TENSORS:
        raise UnsafeFile(f"It has {len(entries)} tensors, more than any model; not unpacked.")
    if size != 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0):
        raise ValueError("its length is not what its header says")
    return {key: torch.empty(entry["shape"], device="meta") for key, entry in entries.items()}


def refuse_expanded(tensors: Mapping[str, Tensor], size: int) -> None:
    """Raise UnsafeFile if a tensor has more numbers than a file of ``size`` bytes can hold.

    A pickle may say of a few bytes that they are a tensor of any shape.
    """
    for key, tensor in tensors.items():
        if tensor.numel() > 2 * size:  # no number takes less than half a byte
            raise UnsafeFile(f"{key} would unpack to more numbers than the file can hold; not unpacked.")
