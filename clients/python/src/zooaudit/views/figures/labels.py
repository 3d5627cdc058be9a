"""How figures name models, and tell them apart."""

from collections.abc import Sequence

from zooaudit.contract import ALL_TRANSFORMS, TRANSFORMS, ComparedAudit, Report, Score, TransformName
from zooaudit.views.figures.panels import Pen, Point
from zooaudit.views.figures.style import COLOURS, DASHES, SYMBOLS, translucent
from zooaudit.views.text import spoken

FEW = 6
"""Intervals are drawn for up to this many models; for more models only the hover shows them."""
MANY = 24
"""More models than this have one colour, and only the hover shows their names."""


def pens(audits: Sequence[Report | ComparedAudit]) -> list[Pen]:
    """Choose a pen for each audit. More than :data:`MANY` audits share one pen, which has no label for the legend."""
    if len(audits) > MANY:
        return [Pen("", translucent(COLOURS[0], 0.45))] * len(audits)
    labels = [model_name(audit, with_weights=not shared_weights(audits)) for audit in audits]
    return [
        Pen(
            label if labels.count(label) == 1 else f"{label} ({audit.id[:6]})",
            COLOURS[index % len(COLOURS)],
            SYMBOLS[index % len(SYMBOLS)],
            DASHES[index % len(DASHES)],
        )
        for index, (label, audit) in enumerate(zip(labels, audits, strict=True))
    ]


def transforms_of(audits: Sequence[Report | ComparedAudit]) -> tuple[TransformName, ...]:
    """Return the transforms that a figure of ``audits`` shows: the later ones where one of the audits has them."""
    parts = [part for audit in audits for part in audit.parts.values()]
    return tuple(
        name for name in ALL_TRANSFORMS if name in TRANSFORMS or any(getattr(part, name) is not None for part in parts)
    )


def title(audits: Sequence[Report | ComparedAudit]) -> str:
    """Title a figure with the name of its one model, or with the number of its models."""
    return model_name(audits[0]) if len(audits) == 1 else f"{len(audits)} models{shared_weights(audits)}"


def model_name(audit: Report | ComparedAudit, with_weights: bool = True) -> str:
    """Name an audit's model, and its weights unless they are pretrained."""
    name = audit.model.name if isinstance(audit, Report) else audit.model
    weights = _weights(audit)
    return name if weights == "pretrained" or not with_weights else f"{name} ({weights})"


def shared_weights(audits: Sequence[Report | ComparedAudit]) -> str:
    """Name the weights that all audits share, for the title, so that no label repeats them; pretrained ones are not
    named."""
    weights = {_weights(audit) for audit in audits}
    return f", {weights.pop()} weights" if len(weights) == 1 and weights != {"pretrained"} else ""


def _weights(audit: Report | ComparedAudit) -> str:
    return audit.model.weights.label if isinstance(audit, Report) else audit.weights


def transform_pens() -> dict[TransformName, Pen]:
    """Return the pen of each transform, which is the same in every figure, whatever else was asked for."""
    symbols = ("circle", "diamond", "square", *SYMBOLS[3:], "hexagon")
    return {
        transform: Pen(spoken(transform), colour, symbol)
        for transform, colour, symbol in zip(ALL_TRANSFORMS, COLOURS, symbols, strict=True)
    }


MARKS = {
    "channel": "{}",
    "layer": "{}-open",
    "layer_held_out": "{}-open-dot",
    "top1_agreement": "{}",
    "interpolation": "asterisk-open",
}
"""The mark of each score, where {} is the pen's."""
MEANINGS = {
    "layer_held_out": "layer, its partners chosen on other images",
    "interpolation": "interpolation: the map, warped and warped back, against itself",
}
"""What the hover says of scores whose names are not enough."""


def interpolated(value: float | None, score_name: str) -> list[str]:
    """Say beside a score under warps what interpolation alone leaves, which it is to be read against."""
    return [] if value is None or score_name == "interpolation" else [f"interpolation alone leaves {value:.3f}"]


HELD_OUT = ("layer, held out", "circle-open-dot", "longdash")
ALIGNED = ("aligned shifts only", "line-ew-open", "")
INTERPOLATION = ("interpolation alone", "asterisk-open", "1px,3px")
"""How the legend shows scores that not all reports have: label, mark, and dash where a line is drawn."""


def score_point(x: float, score: Score, score_name: str, hover: tuple[str, ...]) -> Point:
    """Make the point of one of the scores of ``score``; the mark of a layer score is open."""
    interval = getattr(score, f"{score_name}_interval", None)
    return Point(x, getattr(score, score_name), interval, score.reason, hover, MARKS[score_name])
