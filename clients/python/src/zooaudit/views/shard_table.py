"""Who measures what of a running audit: how many take part, and a table of the shards."""

import re
from collections.abc import Sequence

from zooaudit.contract import Shard, Sharing
from zooaudit.views.tables import Table, shortened
from zooaudit.views.text import counted, plain_number, printable, ranges, spoken

BRIEF_WORKER = 20
"""The letters of a worker's name where a terminal has no room for all of them: the ends tell machine and process."""

MANY_WARPS = 6
"""More warps of one kind than this are not listed one by one."""


def shard_table(sharing: Sharing) -> Table:
    """Show the shards, one a row, below a sentence about all of them. A single worker with a single shard is a line."""
    shards = sharing.shards
    if len(shards) == sharing.workers == 1 and sharing.waiting == sharing.repeated == 0:
        return Table((), (), title=printable(f"Measured by {shards[0].worker} on {shards[0].device}."))
    title = sharing_sentence(sharing)
    if not shards:
        return Table((), (), title=title)
    columns = ("Transforms", "Worker", "Device", "State", "Forward images")
    rows = []
    for shard in shards:
        amount = f"{shard.done:,} of {shard.total:,}"
        rows.append((measured(shard), printable(shard.worker), printable(shard.device), shard.state, amount))
    brief = [(measures, shortened(worker, BRIEF_WORKER), *rest) for measures, worker, *rest in rows]
    narrower = [
        Table(
            [columns[place] for place in kept],
            [[row[place] for place in kept] for row in brief],
            title,
            numbers_from=len(kept) - 1,
            flexible=0,
        )
        for kept in ((0, 1, 2, 3, 4), (0, 1, 3, 4), (0, 1, 4))
    ]
    return Table(columns, rows, title, numbers_from=4, narrower=narrower)


def sharing_sentence(sharing: Sharing) -> str:
    """Say how many workers take part, what waits for one, and what was measured for nothing."""
    takes = "takes" if sharing.workers == 1 else "take"
    waits = "waits" if sharing.waiting == 1 else "wait"
    text = f"{counted(sharing.workers, 'worker')} {takes} part; {counted(sharing.waiting, 'transform')} {waits}"
    if sharing.repeated:
        images = "image was" if sharing.repeated == 1 else "images were"
        text += f"; {sharing.repeated:,} forward {images} measured again"
    return f"{text}."


def measured(shard: Shard) -> str:
    """Name what a shard measures: "1-12 px, 90°", or "untrained, seed 0: 1-12 px, 90°" of a baseline."""
    transforms = printable(transform_ranges(shard.transforms)) or "–"
    return transforms if shard.baseline_seed is None else f"untrained, seed {shard.baseline_seed}: {transforms}"


def transform_ranges(transforms: Sequence[str]) -> str:
    """Join transforms of the same kind, in ascending order, with runs of three or more as ranges. Of many warps of a
    kind, tell between which they lie; what is no transform, such as another measure, stays as it is.

    >>> transform_ranges(["1 px", "2 px", "3 px", "8 px", "4 px zero", "90°", "180°"])
    '1-3, 8 px, 4 px zero, 90°, 180°'
    >>> transform_ranges(["warp by 30°", "warp by 15°", "scale 1.1", "variance over warp_scale"])
    'warp by 15°, 30°, scale 1.1, variance over warp scale'
    """
    amounts: dict[tuple[str, str], set[float]] = {}
    for transform in transforms:
        found = re.fullmatch(r"([0-9]{1,4})( px.*|°.*)", transform)
        warp = re.fullmatch(r"(warp by |scale |shear )(-?[0-9.e-]{1,24})(.*)", transform)
        if found:
            amounts.setdefault(("", found[2]), set()).add(int(found[1]))
        elif warp and (amount := _number(warp[2])) is not None:
            amounts.setdefault((warp[1], warp[3]), set()).add(amount)
        else:
            amounts.setdefault((spoken(transform), ""), set())
    return ", ".join(_listed(before, behind, sorted(of_kind)) for (before, behind), of_kind in amounts.items())


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _listed(before: str, behind: str, values: Sequence[float]) -> str:
    """Write numbers of one kind between what stands before and behind them: "1-3, 8 px", "90°, 180°"."""
    if not values:
        return before
    if not before:
        runs = ranges([int(value) for value in values]).split(",")
    elif len(values) > MANY_WARPS:
        return f"{before}{plain_number(values[0])} to {plain_number(values[-1])}{behind} ({len(values)})"
    else:
        runs = [plain_number(value) for value in values]
    return (
        f"{before}{', '.join(runs)}{behind}"
        if behind.startswith(" ")
        else before + ", ".join(run + behind for run in runs)
    )
