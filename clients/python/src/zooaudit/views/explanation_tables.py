"""The tables of an explanation: the strongest channels of a block, and the least equivariant images."""

from zooaudit.contract import Explanation, LeastEquivariant, PredictedClass, Prediction
from zooaudit.views.tables import Table
from zooaudit.views.text import counted, printable, warp_amount

LONGEST_CLASS = 24


def channels_table(explanation: Explanation) -> Table:
    """Show the strongest channels of a block, and how far each moves with the image."""
    rows = [
        [str(one.channel), f"{one.strength:.4g}", _number(one.correlation), f"{one.largest_difference:.4g}"]
        for one in explanation.channels
    ]
    transform = transform_of(explanation)
    notes = [
        f"Over {cells_of(explanation)} of this image. Over all images, the "
        f"block's channel score at {transform} is {_number(explanation.audit_channel)}."
    ]
    if not rows:
        notes = [f"No channel of this block varies over the {cells_of(explanation)}."]
    if explanation.prediction:
        notes.append(f"Predicted class: {_change(explanation.prediction)}.")
    shown = f"the {counted(len(rows), 'strongest channel')} of {explanation.channels_of_block}"
    title = f"{printable(explanation.block)} at {transform}, image {explanation.place} ({printable(explanation.image)})"
    columns = ("Channel", "Strength", "Correlation", "Largest difference")
    return Table(columns, rows, title=f"{title}: {shown}", numbers_from=0, notes=notes)


def least_table(least: LeastEquivariant) -> Table:
    """Show the images on which a model is least equivariant, the worst first."""
    rows = [
        [
            str(one.place),
            printable(one.image),
            "" if one.prediction is None else _change(one.prediction),
            _number(one.pool),
            _number(one.final),
        ]
        for one in least.least
    ]
    means = f"Pool {_number(least.mean_pool)}, Final {_number(least.mean_final)}"
    notes = [f"Mean similarity over {counted(least.images, 'image')}: {means}."]
    if least.changed is not None:
        notes.append(f"{least.changed} of them {'gets' if least.changed == 1 else 'get'} another class.")
    title = f"Least similar to themselves at {transform_of(least)}"
    columns = ("Place", "Image", "Predicted class", "Pool", "Final")
    return Table(columns, rows, title=title, numbers_from=3, notes=notes, flexible=1)


def transform_of(explained: Explanation | LeastEquivariant) -> str:
    """Return the transform as people read it: "8 px", "8 px right", "8 px zero", "90°", "horizontal reflection" or
    "warp rotation 15°"."""
    if explained.angle_deg is not None:
        return f"{explained.angle_deg}°"
    if explained.axis is not None:
        return f"{explained.axis} reflection"
    if explained.warp is not None and explained.amount is not None:
        return f"warp {explained.warp} {warp_amount(explained.warp, explained.amount)}"
    direction = "" if explained.direction == "diagonal" else f" {explained.direction}"
    return f"{explained.shift_px} px{direction}" + ("" if explained.border == "crop" else f" {explained.border}")


def laid_names(explanation: Explanation) -> tuple[str, str]:
    """Name both maps as they are laid upon each other: that of T(x) is moved back, or under a warp that of x warped."""
    return ("of x", "of T(x), moved back") if explanation.warp is None else ("of x, warped", "of T(x)")


def cells_of(explanation: Explanation) -> str:
    """Say over which cells maps were compared: "14 x 14 cells", or under a warp "121 of 14 x 14 cells"."""
    compared = "" if explanation.cells is None else f"{explanation.cells} of "
    return f"{compared}{explanation.height} x {explanation.width} cells"


def _change(prediction: Prediction) -> str:
    before, after = prediction.before, prediction.after
    return _class(before) if before.index == after.index else f"{_class(before)} → {_class(after)}"


def _class(predicted: PredictedClass) -> str:
    if predicted.name is None:
        return str(predicted.index)
    name = printable(predicted.name.partition(",")[0])
    return name if len(name) <= LONGEST_CLASS else f"{name[: LONGEST_CLASS - 1]}…"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
