"""Where a model's depth is measured: its blocks in the order in which they run, then Pool and Final.

A block is a whole unit as the next layer sees it: convolution, norm and non-linearity; residual block; transformer
or mixer block. :mod:`worker.depth.units` decides which modules are blocks, :mod:`worker.depth.layout` how their outputs
are laid out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from zooaudit.contract import Layout, PartName

from worker.depth.hooks import Call, listening, record_calls, tensors
from worker.depth.layout import Tap, possible, verified
from worker.depth.representation import Representation
from worker.depth.units import enclosing, find_units, within
from worker.errors import AuditError

ENDS: tuple[PartName, ...] = ("Pool", "Final")


@dataclass(frozen=True)
class Depth:
    """The representations of a model: its blocks from the input on, then Pool, then Final.

    ``blocks``       the taps of the blocks, in the order in which they run
    ``pool``         the module whose output enters the classifiers
    ``classifiers``  the modules that give the classes; Pool is what enters them, side by side if there are several, and
                     Final is the model's output. Without classifiers Pool is the model's output.
    ``output``       the index of the model's output among the tensors that it returns
    ``absent``       why the model has no Pool or no Final, if it has none
    """

    blocks: tuple[Tap, ...]
    pool: str
    classifiers: tuple[str, ...]
    absent: tuple[tuple[PartName, str], ...] = ()
    output: int = 0

    def ends(self) -> tuple[PartName, ...]:
        """Return those of Pool and Final that the model has."""
        missing = dict(self.absent)
        return tuple(name for name in ENDS if name not in missing)

    def parts(self) -> tuple[PartName, ...]:
        """Return the part of each representation: Early, Middle and Late are split as ``numpy.array_split`` does.

        >>> Depth(tuple(map(Tap, "abcd")), "pool", ("fc",)).parts()
        ('Early', 'Early', 'Middle', 'Late', 'Pool', 'Final')
        """
        names: tuple[PartName, ...] = ("Early", "Middle", "Late")
        chunks = np.array_split(np.arange(len(self.blocks)), 3)
        return (*(name for name, chunk in zip(names, chunks, strict=True) for _ in chunk), *self.ends())

    def representations(self, shapes: Sequence[tuple[int, int, int]]) -> tuple[Representation, ...]:
        """Return the record of each representation, given the ``shapes`` (height, width, channels) of their maps."""
        end_names: dict[PartName, str] = {"Pool": self.pool, "Final": ", ".join(self.classifiers)}
        outputs: list[tuple[str, Layout]] = [(tap.name, tap.layout) for tap in self.blocks]
        outputs += [(end_names[end], "NCHW") for end in self.ends()]
        return tuple(
            Representation(name, part, layout, *shape)
            for (name, layout), part, shape in zip(outputs, self.parts(), shapes, strict=True)
        )


def find_depth(
    module: nn.Module,
    size: int,
    blocks: Sequence[str] = (),
    layout: Layout | None = None,
    classifier: str | None = None,
) -> Depth:
    """Find the depth of any image classifier whose input is ``size`` pixels wide, by running it.

    ``blocks`` and ``classifier`` are dotted paths, and ``layout`` is the layout of the blocks' outputs. Whatever the
    caller leaves out is inferred; the layouts, by moving a patch of the input.

    Raises AuditError when no module gives a map that can be measured, or a given block gives something else.
    """
    calls = record_calls(module, size)
    if not calls[-1].shapes:
        raise _unsuitable("The model returns no tensor, and no tuple, list, dict or data class with one in it.")
    given = (*blocks, *([classifier] if classifier else []))
    if idle := sorted(set(given) - {call.path for call in calls}):
        raise _unsuitable(f"{', '.join(idle)} does not run when the model does.")
    classifiers = (classifier,) if classifier else _classifiers(module, calls)
    excluded = (*classifiers, *_auxiliary(module))
    units = [[path] for path in blocks] or find_units(module, calls, excluded)
    if layout:
        taps = [Tap(unit[0], layout) for unit in units if blocks or _is_map(_last(calls, unit[0]), layout)]
    else:
        taps = _taps(module, size, calls, units, classifiers, strict=bool(blocks))
    if not taps:
        raise _unsuitable(
            "No blocks were found that run once and give a map of several cells: say which modules they are."
        )
    output = _output(module, size, calls, classifiers)
    absent = _absent(calls, classifiers, output)
    return Depth(tuple(taps), _pool(module, calls, classifiers), classifiers, absent, output or 0)


def find_classifiers(module: nn.Module, size: int) -> tuple[str, ...]:
    """Find the ``classifiers`` of the module's :class:`Depth` alone. It may be on torch's device "meta"."""
    return _classifiers(module, record_calls(module, size))


def _taps(
    module: nn.Module,
    size: int,
    calls: Sequence[Call],
    units: Sequence[Sequence[str]],
    classifiers: Sequence[str],
    strict: bool,
) -> list[Tap]:
    """Return a tap, with its layout, for each unit.

    Where a unit's own output is no map, as inside windows, the tap is on the smallest module around it whose output is
    one; with ``strict`` such a unit is refused.
    """
    order = [call.path for call in calls]
    choices: list[tuple[str, list[list[Tap]]]] = []
    for unit in units:
        if strict or _has_cells(_last(calls, unit[0]).shapes):
            paths = unit if strict else [*unit, *_around(unit[0], order, classifiers)]
            choices.append((unit[0], [possible(_last(calls, path), _order(module, path)) for path in paths]))
    verdicts = iter(verified(module, size, [taps for _, options in choices for taps in options]))
    taps_of = {unit: [tap for tap in [next(verdicts) for _ in options] if tap] for unit, options in choices}
    own = [unit for (unit, _), taps in zip(choices, taps_of.values(), strict=True) if taps and taps[0].name == unit]
    chosen: dict[str, Tap] = {}
    for unit, taps in taps_of.items():
        # A module around other blocks that are maps themselves is no block.
        fitting = [tap for tap in taps if not any(other != tap.name and within(other, [tap.name]) for other in own)]
        if not fitting:
            shapes = ", ".join(map(str, _last(calls, unit).shapes)) or "no tensor"
            raise _unsuitable(
                f"The output of {unit} ({shapes} for one image) cannot be laid out as a map: when a patch of the input "
                "moves, nothing in it moves along."
            )
        chosen[fitting[0].name] = fitting[0]
    return sorted(chosen.values(), key=lambda tap: order.index(tap.name))


def _around(unit: str, order: Sequence[str], classifiers: Sequence[str]) -> list[str]:
    """Return the modules around a unit that run once and do not hold a classifier, the nearest first."""
    return [
        path
        for path in enclosing(unit)
        if order.count(path) == 1 and not any(within(classifier, [path]) for classifier in classifiers)
    ]


def _order(module: nn.Module, path: str) -> Callable[[Tensor], Tensor] | None:
    """Return the function that puts permuted tokens of a block back into their places; None if they are not permuted.

    Only Hiera permutes them: it keeps tokens in the order in which it will pool them.
    """
    if type(module).__name__ == "Hiera" and path.startswith("blocks."):
        return partial(_unrolled, module.get_submodule("reroll"), int(path.split(".")[1]))
    return None


def _unrolled(reroll: nn.Module, block: int, tokens: Tensor) -> Tensor:
    in_place: Tensor = reroll(tokens, block)
    return in_place


def _classifiers(module: nn.Module, calls: Sequence[Call]) -> tuple[str, ...]:
    """Return the modules that give the classes: those that timm names, or else the linear layer or convolution that
    runs last. There are none where timm's classifier is the identity."""
    order = [call.path for call in calls]
    if hasattr(module, "get_classifier"):
        classifier = module.get_classifier()  # type: ignore[operator]
        members = [
            member for one in (classifier if isinstance(classifier, tuple) else [classifier]) for member in _flat(one)
        ]
        names = [path for path, part in module.named_modules() if any(part is member for member in members)]
        return tuple(
            _layer(module, calls, path)
            for path in names
            if path in order and not isinstance(module.get_submodule(path), nn.Identity)
        )
    for layer_type in (nn.Linear, nn.Conv2d):
        if layers := [path for path in order if isinstance(module.get_submodule(path), layer_type)]:
            return (layers[-1],)
    raise _unsuitable("No linear layer or convolution runs that could be the classifier: say which module is.")


def _layer(module: nn.Module, calls: Sequence[Call], head: str) -> str:
    """Return the layer of ``head`` that gives the classes if ``head`` pools first, else ``head`` itself."""
    inside = [
        call.path
        for call in calls
        if within(call.path, [head])
        and isinstance(module.get_submodule(call.path), nn.Linear | nn.Conv2d)
        and not _has_cells(call.entering)
    ]
    return inside[-1] if inside and _has_cells(_last(calls, head).entering) else head


def _auxiliary(module: nn.Module) -> tuple[str, ...]:
    """Return the classifiers that timm's configuration names besides ``get_classifier``, such as VOLO's for tokens."""
    named = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
    return (named,) if isinstance(named, str) else tuple(named)


def _flat(part: Any) -> list[Any]:
    return [inner for one in part for inner in _flat(one)] if isinstance(part, nn.ModuleList) else [part]


def _pool(module: nn.Module, calls: Sequence[Call], classifiers: Sequence[str]) -> str:
    """Return the last module before the classifiers that does more than drop, flatten or pass on."""
    order = [call.path for call in calls]
    first = min((order.index(classifier) for classifier in classifiers), default=len(order) - 1)
    pass_on = (nn.Identity, nn.Dropout, nn.Flatten)
    before = [
        path
        for path in order[:first]
        if path and not within(path, classifiers) and not isinstance(module.get_submodule(path), pass_on)
    ]
    return before[-1] if before else order[0]


def _output(module: nn.Module, size: int, calls: Sequence[Call], classifiers: Sequence[str]) -> int | None:
    """Return the index of the model's output among the tensors that it returns: the only one, or else the one that its
    last classifier gives; None if that is none of them."""
    if len(calls[-1].shapes) == 1:
        return 0
    given: list[Tensor] = []
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    with (
        torch.inference_mode(),
        listening(module, classifiers[-1:], lambda _path, _inputs, output: given.extend(tensors(output))),
    ):
        returned = tensors(module(torch.zeros(1, 3, size, size, device=device)))
    return next((index for index, one in enumerate(returned) if any(one is tensor for tensor in given)), None)


def _absent(calls: Sequence[Call], classifiers: Sequence[str], output: int | None) -> tuple[tuple[PartName, str], ...]:
    """Return which of Pool and Final the model lacks, each with the reason."""
    missing: list[tuple[PartName, str]] = []
    shapes = calls[-1].shapes
    whole = "the model gives no vector" if output is None or _has_cells([shapes[output]]) else None
    if any(_has_cells(_last(calls, classifier).entering) for classifier in classifiers):
        missing.append(("Pool", "what enters the classifier is a map: the model pools after it"))
    elif not classifiers and whole:
        missing.append(("Pool", whole))
    if not classifiers:
        missing.append(("Final", "the model has no classifier"))
    elif whole:
        missing.append(("Final", whole))
    return tuple(missing)


def _has_cells(shapes: Sequence[tuple[int, ...]]) -> bool:
    """Tell whether one of the tensors holds more than one vector an image."""
    return any(len(shape) > 2 and sorted(shape[1:])[-2] > 1 for shape in shapes)


def _is_map(call: Call, layout: Layout) -> bool:
    return any(tap.layout == layout for tap in possible(call))


def _last(calls: Sequence[Call], path: str) -> Call:
    return next(call for call in reversed(calls) if call.path == path)


def _unsuitable(detail: str) -> AuditError:
    return AuditError("unsuitable-model", detail)
