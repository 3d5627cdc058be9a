"""The groups of images from which intervals are made, and when a group learns which channels it pairs.

Groups belong to the sample: image i of N, in the shuffled order, is in group ``floor(32 i / N)``. They do not depend on
the batch size, the passes, the model or the worker, so all audits of one sample have the same groups.
"""

import torch
from torch import Tensor
from zooaudit.contract import MIN_GROUPS

GROUPS = 32


def group_of(places: Tensor, images: int) -> Tensor:
    """Compute the groups of the images at ``places``, (N,) int64, of a shuffled sample of ``images`` images.

    >>> import torch
    >>> group_of(torch.tensor([0, 1, 6, 7, 99]), 100).tolist()
    [0, 0, 1, 2, 31]
    """
    return places * GROUPS // images


def members_of(groups: Tensor) -> Tensor:
    """Tell which of N images are in which group: (G, N) float32, from their ``groups`` (N,)."""
    return (torch.arange(GROUPS)[:, None] == groups).float()


def first_place(group: int, images: int) -> int:
    """Return the place of the first image that is in ``group`` or in a later one.

    >>> [first_place(group, 100) for group in (0, 1, 2, 31)]
    [0, 4, 7, 97]
    """
    return -(-group * images // GROUPS)


def choices(images: int, always: bool) -> dict[int, int]:
    """Return at which places of a sample of so many images the best partners are chosen from all images before, and the
    group that begins at each.

    An audit of all images needs two choices: for the second quarter of the images, and for the second half. If
    scores are needed at any time (``always``), there are more, so that the partners of all groups after the first
    quarter of the images so far come from an eighth of them or more.

    >>> choices(2000, always=False)
    {500: 8, 1000: 16}
    """
    if images <= MIN_GROUPS:
        return {}
    return {first_place(group, images): group for group in ((1, 2, 4, 8, 16) if always else (8, 16))}
