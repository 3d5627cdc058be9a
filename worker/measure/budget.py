"""How an audit fits into memory: the batch size, and how many transforms one pass over the images can measure."""

import ctypes
import math
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from worker.depth import Representation
from worker.measure.forward import Subject
from worker.measure.groups import GROUPS
from worker.measure.representation_sums import is_wide
from worker.measure.transforms import Transform
from worker.measure.warps import Warp, table_bytes

GIB = 2**30
CPU_MEMORY_GIB = 7.0
"""Memory that an audit on a CPU may use by default, including the process with its libraries."""
UNPLANNED_GIB = 1.2
"""Memory that Python, torch and the zoos take before any model is loaded (benchmarks/memory.py)."""
BYTES_OF_GROUP = 40
"""Memory of one group per channel, with two similarities."""
MAX_BATCH = {"cpu": 16, "cuda": 128}


@dataclass(frozen=True)
class Budget:
    """How many images go through the model at once, and how many ``transforms`` one pass over the images can measure.

    There are several passes where the (K, K) products of all transforms do not fit into memory at the same time.
    """

    batch_size: int
    transforms: int

    def passes(self, transforms: Sequence[Transform]) -> tuple[tuple[Transform, ...], ...]:
        """Share ``transforms`` out over as few passes as possible, each with transforms of all kinds."""
        count = math.ceil(len(transforms) / self.transforms)
        return tuple(tuple(transforms[first::count]) for first in range(count))


def plan_budget(
    subject: Subject,
    representations: Sequence[Representation],
    size: int,
    transforms: Sequence[Transform],
    memory_gib: float | None = None,
    batch_size: int | None = None,
    ends: Collection[int] = (),
) -> Budget:
    """Choose the batch size, unless it is given, and how many ``transforms`` a pass measures, at inputs of ``size`` px.

    At most a third of ``memory_gib`` (by default 7 GiB of a CPU's memory, four fifths of a GPU's) is for the maps of a
    batch, the rest for the moments. This depends on shapes and settings only, so a rerun is split the same way. On a
    GPU batches are of equal size, as far as possible where one ends at each of the places ``ends``.
    """
    device = subject.device
    if memory_gib is None:
        memory_gib = default_gib(device)
    # Per image: the reference maps and one window of each, for the forward pass six times its largest map, and for the
    # comparison the largest products of one image: (K, K), or several of them that are no larger than its map. Under a
    # warp, a map is compared beside four others made of it: warped, warped and cut, warped back, and its squares.
    maps = [
        4 * representation.height * representation.width * representation.channels for representation in representations
    ]
    of_image = [
        4 * representation.channels * (representation.channels + representation.height * representation.width)
        for representation in representations
        if not is_wide(representation.height * representation.width, representation.channels)
    ]
    per_image = 2 * sum(maps) + 6 * max(*maps, 4 * 3 * size * size) + max(of_image, default=0)
    warps = [transform for transform in transforms if isinstance(transform, Warp)]
    if warps:
        per_image += 4 * max(maps)
    available = (memory_gib - (UNPLANNED_GIB if device.type == "cpu" else 0)) * GIB
    available -= sum(tensor.numel() * tensor.element_size() for tensor in subject.module.state_dict().values())
    sizes = {representation.height * representation.width for representation in representations}
    # Tables are kept for each warp: one of the view's pixels, and for each size of maps one there and one back. All
    # warps share the sums of each cell and of its squares over images, in float64.
    available -= len(warps) * (table_bytes(size * size) + 2 * sum(map(table_bytes, sizes)))
    available -= 4 * sum(maps) if warps else 0
    if batch_size is None:
        fitting = max(1, min(MAX_BATCH[device.type], int(available / 3 / per_image)))
        batch_size = 2 ** int(math.log2(fitting))
        if device.type == "cuda":
            batch_size = even_batch_size(batch_size, ends)

    products = [
        8 * representation.channels**2 + GROUPS * BYTES_OF_GROUP * representation.channels
        for representation in representations
    ]
    for_products = available - batch_size * per_image - 3 * max(products)
    return Budget(batch_size, max(1, min(len(transforms), int(for_products / sum(products)))))


def even_batch_size(most: int, ends: Collection[int]) -> int:
    """Return the size of at most ``most`` images, and of more than three quarters of it, that leaves batches of the
    fewest other sizes if one ends at each of the places ``ends``.

    A GPU's libraries set up anew for each size, which may take seconds, and CUDA graphs are of one size.

    >>> even_batch_size(128, [500, 1000, 2000]), even_batch_size(128, [128, 256, 512]), even_batch_size(128, [5])
    (125, 128, 128)
    """
    sections = [end - begin for begin, end in pairwise(sorted({0, *ends}))]
    sizes = range(most, 3 * most // 4, -1)
    return min(sizes, key=lambda size: len({section % size for section in sections} - {0}))


def keep_freed_memory() -> None:
    """Ask glibc to keep freed blocks for the next allocation of their size instead of returning them to the system.

    Feature maps are tens of MB each. By default each is mapped anew and its pages are faulted in one by one, which
    takes longer than many layers take (benchmarks/overhead.py shows the gain). Without glibc this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        m_trim_threshold, m_mmap_threshold = -1, -3
        mallopt(m_mmap_threshold, GIB)
        mallopt(m_trim_threshold, 2**31 - 1)


def default_gib(device: torch.device, workers: int = 1) -> float:
    """Return the memory that an audit on ``device`` may use by default, where ``workers`` share the device."""
    if device.type == "cuda":
        return 0.8 * torch.cuda.get_device_properties(device).total_memory / GIB / workers
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return min(CPU_MEMORY_GIB, 0.7 * installed / workers)
