"""Where a model's depth is measured: its blocks in the order in which they run, then Pool and Final.

A block is a whole unit as the next layer sees it: convolution, norm and non-linearity; residual block; transformer
or mixer block. :mod:`worker.depth.units` says which modules these are, :mod:`worker.depth.layout` how their outputs
are laid out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn
from zooaudit.contract import Layout, PartName

from worker.depth import hooks
from worker.depth.hooks import Call
from worker.depth.layout import Tap, possible, verified
from worker.depth.units import enclosing, find_units, within
from worker.errors import AuditError


@dataclass(frozen=True)
class Depth:
    """The representations of a model: ``blocks`` from the input on; Pool, what enters ``classifiers``, side by side
    where there are several, and leaves the module named ``pool``; Final, the model's output.

    ``absent`` says why there is no Pool or no Final. Without classifiers Pool is the model's output.
    """

    blocks: tuple[Tap, ...]
    pool: str
    classifiers: tuple[str, ...]
    absent: tuple[tuple[PartName, str], ...] = ()

    def ends(self) -> tuple[PartName, ...]:
        missing = dict(self.absent)
        return tuple(name for name in ENDS if name not in missing)

    def parts(self) -> tuple[PartName, ...]:
        """The part of each representation: Early, Middle and Late are split as ``numpy.array_split`` does.

        >>> Depth(tuple(map(Tap, "abcd")), "pool", ("fc",)).parts()
        ('Early', 'Early', 'Middle', 'Late', 'Pool', 'Final')
        """
        names: tuple[PartName, ...] = ("Early", "Middle", "Late")
        chunks = np.array_split(np.arange(len(self.blocks)), 3)
        return (*(name for name, chunk in zip(names, chunks, strict=True) for _ in chunk), *self.ends())

    def names(self) -> list[tuple[str, Layout]]:
        """The module and the layout of each representation."""
        ends: dict[PartName, str] = {"Pool": self.pool, "Final": ", ".join(self.classifiers)}
        return [*((tap.name, tap.layout) for tap in self.blocks), *((ends[name], "NCHW") for name in self.ends())]


ENDS: tuple[PartName, ...] = ("Pool", "Final")


def find_depth(
    module: nn.Module,
    size: int,
    blocks: Sequence[str] = (),
    layout: Layout | None = None,
    classifier: str | None = None,
) -> Depth:
    """The depth of any image classifier whose input is ``size`` pixels wide: ``blocks`` and ``classifier`` if they are
    said, else found; of ``layout``, or laid out as it is seen to be when a patch of the input moves.

    AuditError when it has no blocks that give maps, or one of them gives something else.
    """
    ran = hooks.run(module, size)
    said = (*blocks, *([classifier] if classifier else []))
    if idle := sorted(set(said) - {call.path for call in ran}):
        raise _unsuitable(f"{', '.join(idle)} does not run when the model does.")
    heads = (classifier,) if classifier else _classifiers(module, ran)
    aside = (*heads, *_auxiliary(module))
    units = [[path] for path in blocks] or find_units(module, ran, aside)
    if layout:
        taps = [Tap(unit[0], layout) for unit in units if blocks or _is_map(_last(ran, unit[0]), layout)]
    else:
        taps = _taps(module, size, ran, units, heads, strict=bool(blocks))
    if not taps:
        raise _unsuitable(
            "No blocks were found that run once and give a map of several cells: say which modules they are."
        )
    return Depth(tuple(taps), _pool(module, ran, heads), heads, _absent(ran, heads))


def _taps(
    module: nn.Module,
    size: int,
    ran: Sequence[Call],
    units: Sequence[Sequence[str]],
    heads: Sequence[str],
    strict: bool,
) -> list[Tap]:
    """The units as they are laid out; where a unit's own output is no map, as with windows, what is around it."""
    order = [call.path for call in ran]
    choices: list[tuple[str, list[list[Tap]]]] = []
    for unit in units:
        if strict or _has_cells(_last(ran, unit[0]).shapes):
            paths = unit if strict else [*unit, *_around(unit[0], order, heads)]
            choices.append((unit[0], [possible(_last(ran, path), _order(module, path)) for path in paths]))
    seen = iter(verified(module, size, [taps for _, options in choices for taps in options]))
    options_of = {unit: [tap for tap in [next(seen) for _ in options] if tap] for unit, options in choices}
    own = [unit for (unit, _), taps in zip(choices, options_of.values(), strict=True) if taps and taps[0].name == unit]
    found: dict[str, Tap] = {}
    for unit, taps in options_of.items():
        # What is around other blocks that are maps themselves is no block.
        fitting = [tap for tap in taps if not any(other != tap.name and within(other, [tap.name]) for other in own)]
        if not fitting:
            shapes = ", ".join(map(str, _last(ran, unit).shapes)) or "no tensor"
            raise _unsuitable(
                f"The output of {unit} ({shapes} for one image) cannot be laid out as a map: when a patch of the input "
                "moves, nothing in it moves along."
            )
        found[fitting[0].name] = fitting[0]
    return sorted(found.values(), key=lambda tap: order.index(tap.name))


def _around(unit: str, order: Sequence[str], heads: Sequence[str]) -> list[str]:
    """The modules around a unit that run once and do not hold the classifier."""
    return [
        path for path in enclosing(unit) if order.count(path) == 1 and not any(within(head, [path]) for head in heads)
    ]


def _order(module: nn.Module, path: str) -> Callable[[Tensor], Tensor] | None:
    """Hiera keeps its tokens in the order in which they will be pooled, and has a function that undoes it."""
    if type(module).__name__ == "Hiera" and path.startswith("blocks."):
        return partial(_unrolled, module.get_submodule("reroll"), int(path.split(".")[1]))
    return None


def _unrolled(reroll: nn.Module, block: int, tokens: Tensor) -> Tensor:
    found: Tensor = reroll(tokens, block)
    return found


def _classifiers(module: nn.Module, ran: Sequence[Call]) -> tuple[str, ...]:
    """The modules that give the classes: those that timm names, or the linear layer, else the convolution, that runs
    last; none where timm's is the identity."""
    order = [call.path for call in ran]
    if hasattr(module, "get_classifier"):
        said = module.get_classifier()  # type: ignore[operator]
        parts = [part for one in (said if isinstance(said, tuple) else [said]) for part in _flat(one)]
        names = [path for path, part in module.named_modules() if any(part is one for one in parts)]
        return tuple(
            _layer(module, ran, path)
            for path in names
            if path in order and not isinstance(module.get_submodule(path), nn.Identity)
        )
    for kind in (nn.Linear, nn.Conv2d):
        if last := [path for path in order if isinstance(module.get_submodule(path), kind)]:
            return (last[-1],)
    raise _unsuitable("No linear layer or convolution runs that could be the classifier: say which module is.")


def _layer(module: nn.Module, ran: Sequence[Call], head: str) -> str:
    """The layer of ``head`` that gives the classes, where that is a head that pools first; else ``head`` itself."""
    inside = [
        call.path
        for call in ran
        if within(call.path, [head])
        and isinstance(module.get_submodule(call.path), nn.Linear | nn.Conv2d)
        and not _has_cells(call.entering)
    ]
    return inside[-1] if inside and _has_cells(_last(ran, head).entering) else head


def _auxiliary(module: nn.Module) -> tuple[str, ...]:
    """Classifiers that timm knows of but does not count, such as VOLO's for tokens."""
    named = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
    return (named,) if isinstance(named, str) else tuple(named)


def _flat(part: Any) -> list[Any]:
    return [inner for one in part for inner in _flat(one)] if isinstance(part, nn.ModuleList) else [part]


def _pool(module: nn.Module, ran: Sequence[Call], heads: Sequence[str]) -> str:
    """The last module before the classifiers that does more than drop, flatten or pass on."""
    order = [call.path for call in ran]
    first = min((order.index(head) for head in heads), default=len(order) - 1)
    idle = (nn.Identity, nn.Dropout, nn.Flatten)
    before = [
        path
        for path in order[:first]
        if path and not within(path, heads) and not isinstance(module.get_submodule(path), idle)
    ]
    return before[-1] if before else order[0]


def _absent(ran: Sequence[Call], heads: Sequence[str]) -> tuple[tuple[PartName, str], ...]:
    missing: list[tuple[PartName, str]] = []
    output = ran[-1].shapes
    whole = "the model gives no vector" if len(output) != 1 or _has_cells(output) else None
    entering = [_last(ran, head) for head in heads]
    if any(_has_cells(call.entering) for call in entering):
        missing.append(("Pool", "what enters the classifier is a map: the model pools after it"))
    elif not heads and whole:
        missing.append(("Pool", whole))
    if not heads:
        missing.append(("Final", "the model has no classifier"))
    elif whole:
        missing.append(("Final", whole))
    return tuple(missing)


def _has_cells(shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether some tensor is more than one vector an image."""
    return any(len(shape) > 2 and sorted(shape[1:])[-2] > 1 for shape in shapes)


def _is_map(call: Call, layout: Layout) -> bool:
    return any(tap.layout == layout for tap in possible(call))


def _last(ran: Sequence[Call], path: str) -> Call:
    return next(call for call in reversed(ran) if call.path == path)


def _unsuitable(detail: str) -> AuditError:
    return AuditError("unsuitable-model", detail)
