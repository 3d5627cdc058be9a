"""How a block's output is laid out as a feature map: found by moving a patch of the input, never guessed from a shape.

A shape only says which layouts are possible. To find the true one, a patch of the input as large as one cell of the map
is changed: the change in the map must lie where the patch lies, and move to the right and down as the patch does. This
tells NCHW from NHWC, rows from columns, and tokens in their order from tokens that were permuted, for instance
into windows.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from zooaudit.contract import Layout

from worker.depth.hooks import Call, listening, tensors
from worker.errors import AuditError

MAX_PREFIX_TOKENS = 16
FINEST = 56
"""The patch is at least one 56th of the input's side, because sparse maps hardly see single pixels."""
DRAWS = 4
"""How many patches of different contents are tried: one may leave too few traces in a sparse map."""
SPREAD = 100.0
"""A change whose largest cell is below this multiple of its median cell is spread over the map: it has no place."""


@dataclass(frozen=True)
class Tap:
    """The module at the dotted path ``name``, and how its output becomes a feature map.

    ``grid``           rows and columns of the tokens of an NLC output, after its ``prefix_tokens``
    ``item``           the index of the map among the tensors of the output
    ``order``          a function that puts permuted tokens back into their places
    """

    name: str
    layout: Layout = "NCHW"
    grid: tuple[int, int] = (1, 1)
    prefix_tokens: int = 0
    item: int = 0
    order: Callable[[Tensor], Tensor] | None = None

    def feature_map(self, output: Any) -> Tensor:
        """Return the module's output as a feature map, a view of shape (N, h, w, K)."""
        tensor = tensors(output)[self.item]
        if self.order:
            tensor = self.order(tensor)
        rows, columns = self.grid
        match self.layout:
            case "NCHW" if tensor.ndim == 4:
                return tensor.permute(0, 2, 3, 1)
            case "NHWC" if tensor.ndim == 4:
                return tensor
            case "NLC" if tensor.ndim == 3 and tensor.shape[1] == self.prefix_tokens + rows * columns:
                return tensor[:, self.prefix_tokens :].reshape(-1, rows, columns, tensor.shape[2])
        detail = (
            f"{self.name} gives {tuple(tensor.shape)}, which is not {self.layout} as it was declared or found to be"
        )
        raise AuditError("unexpected-output", detail)


def possible(call: Call, order: Callable[[Tensor], Tensor] | None = None) -> list[Tap]:
    """List every way to read a module's output for one image as a square map of more than one cell. With ``order``, the
    function that puts permuted tokens back into their places, the output is NHWC afterwards."""
    taps = []
    for item, shape in enumerate(call.shapes):
        if order and len(shape) == 3:
            taps.append(Tap(call.path, "NHWC", item=item, order=order))
        elif len(shape) == 4 and shape[0] == 1:
            taps += [Tap(call.path, "NCHW", item=item)] if shape[2] == shape[3] > 1 else []
            taps += [Tap(call.path, "NHWC", item=item)] if shape[1] == shape[2] > 1 else []
        elif len(shape) == 3 and shape[0] == 1:
            for prefix in range(min(MAX_PREFIX_TOKENS, shape[1] - 4) + 1):
                side = math.isqrt(shape[1] - prefix)
                taps += [Tap(call.path, "NLC", (side, side), prefix, item)] if side**2 == shape[1] - prefix else []
    return taps


def verified(module: nn.Module, size: int, candidates: Sequence[Sequence[Tap]]) -> list[Tap | None]:
    """Return the first of each block's candidates that moves with the input; None where none does.

    Untrained attention may spread the change evenly over all cells, which contradicts no candidate: the block then gets
    the layout of an earlier block of the model that was verified.
    """
    verdicts = _moves(module, size, [tap for taps in candidates for tap in taps])
    known: set[tuple[Layout, int, int, bool]] = set()
    layouts: list[Tap | None] = []
    for taps in candidates:
        moving = [tap for tap in taps if verdicts[tap]]
        like = [tap for tap in taps if verdicts[tap] is None and _arrangement(tap) in known]
        chosen = next(iter(moving + like), None)
        if moving:
            known.add(_arrangement(moving[0]))
        layouts.append(chosen)
    return layouts


def _arrangement(tap: Tap) -> tuple[Layout, int, int, bool]:
    return tap.layout, tap.prefix_tokens, tap.item, tap.order is not None


def _moves(module: nn.Module, size: int, taps: Iterable[Tap]) -> Mapping[Tap, bool | None]:
    """Tell for each map whether its change moves with a patch of the input; None where the change has no place."""
    taps = list(taps)
    generator = torch.Generator().manual_seed(0)
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    blank = torch.randn(1, 3, size, size, generator=generator).div_(2)
    before = _maps(module, blank.to(device), taps)
    changes: dict[Tap, Tensor] = {}
    verdicts: dict[Tap, bool | None] = {}
    for _ in range(DRAWS):
        settled = {tap.name for tap, verdict in verdicts.items() if verdict}
        by_side: dict[int, list[Tap]] = {}
        for tap, maps in before.items():
            if tap.name not in settled:
                by_side.setdefault(min(maps.shape[1], FINEST), []).append(tap)
        patched = torch.randn(3, size, size, generator=generator).mul_(3)
        for side, group in by_side.items():
            row, column = side // 4, side // 2
            cells = [(row, column), (row, min(column + 1, side - 1)), (row + 1, column)]
            images = blank.repeat(len(cells), 1, 1, 1)
            for image, (y, x) in zip(images, cells, strict=True):
                top, bottom, left, right = (edge * size // side for edge in (y, y + 1, x, x + 1))
                image[:, top:bottom, left:right] = patched[:, : bottom - top, : right - left]
            after = _maps(module, images.to(device), group)
            for tap in group:
                change = (after[tap] - before[tap]).square().sum(3)
                change /= change.amax((1, 2), keepdim=True).clamp(min=torch.finfo(change.dtype).tiny)
                changes[tap] = change + changes[tap] if tap in changes else change
                verdicts[tap] = _follows(changes[tap], side / change.shape[1], cells)
    return verdicts


def _follows(change: Tensor, scale: float, patches: Sequence[tuple[int, int]]) -> bool | None:
    """Tell whether a map's change follows the patch; None where the change has no place.

    ``change`` (3, side, side) is the change after each of the three ``patches``: one place, the place right of it and
    the place below it, in units of 1 / ``scale`` cells. It follows the patch if it is largest exactly there (tokens),
    or if its centroid is near the first place and moves as the patch does (convolutions, which blur it)."""
    side = change.shape[1]
    median = change.flatten(1).median(1).values
    peaks = [(int(place // side * scale), int(place % side * scale)) for place in change.flatten(1).argmax(1).tolist()]
    excess = (change - median[:, None, None]).clamp(min=0.0)
    total = excess.sum((1, 2))
    lies_somewhere = total.all() and (change.amax((1, 2)) >= SPREAD * median).all()
    if lies_somewhere and peaks == list(patches):
        return True
    steps = torch.arange(side, device=change.device, dtype=change.dtype) * scale
    row, column = (excess.sum(2) @ steps / total).tolist(), (excess.sum(1) @ steps / total).tolist()
    right = column[1] - column[0], abs(row[1] - row[0])
    down = row[2] - row[0], abs(column[2] - column[0])
    margin = max(1.0, side * scale / 4)
    near = all(abs(seen - true) <= margin for seen, true in zip((row[0], column[0]), patches[0], strict=True))
    if near and all(along > 0.2 and along > across for along, across in (right, down)):
        return True
    return False if lies_somewhere else None


def _maps(module: nn.Module, images: Tensor, taps: Iterable[Tap]) -> dict[Tap, Tensor]:
    """Return a copy of the map of every tap, (N, h, w, K) float32: later layers may work on the original in place."""
    by_path: dict[str, list[Tap]] = {}
    for tap in taps:
        by_path.setdefault(tap.name, []).append(tap)
    maps: dict[Tap, Tensor] = {}

    def hear(path: str, _inputs: Any, output: Any) -> None:
        maps.update({tap: tap.feature_map(output).to(torch.float32, copy=True) for tap in by_path[path]})

    with torch.inference_mode(), listening(module, by_path, hear):
        module(images)
    return maps
