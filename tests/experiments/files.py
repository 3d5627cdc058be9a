"""Data sets of a few images, in the files that torchvision reads."""

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torchvision import datasets

Pixels = NDArray[np.uint8]


def write_mnist(folder: Path, training: tuple[Pixels, list[int]], validation: tuple[Pixels, list[int]]) -> None:
    """Write MNIST's four IDX files: big-endian, magic 2051 before (n, 28, 28) pixels, magic 2049 before labels."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, (pixels, labels) in (("train", training), ("t10k", validation)):
        header = struct.pack(">4i", 2051, *pixels.shape)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, len(labels)) + bytes(labels))


def write_cifar10(folder: Path, pixels: Pixels, labels: list[int], monkeypatch) -> None:
    """Write CIFAR-10's version for Python: six pickles of (n, 3072) pixels, here all of the same images.

    Their checksums are not the published ones, so torchvision is told those of these files.
    """
    inside = folder / "cifar-10-batches-py"
    inside.mkdir(parents=True)

    def write(name: str, content: object) -> str:
        (inside / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((inside / name).read_bytes()).hexdigest()

    batch = {"data": pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1), "labels": labels}
    train = [[f"data_batch_{number}", write(f"data_batch_{number}", batch)] for number in range(1, 6)]
    names = [f"class {number}" for number in range(10)]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": write("batches.meta", {"label_names": names})}
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", write("test_batch", batch)]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
