"""Who measures what of a running audit: how many take part, and a table of the shards."""

import re
from collections.abc import Sequence

from zooaudit.contract import Shard, Sharing
from zooaudit.views.tables import Table, shortened
from zooaudit.views.text import counted, printable, ranges

BRIEF_WORKER = 20
"""The letters of a worker's name where a terminal has no room for all of them: the ends tell machine and process."""


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
    """Join transforms of the same kind, in ascending order, with runs of three or more as ranges.

    >>> transform_ranges(["1 px", "2 px", "3 px", "8 px", "4 px zero", "90°", "180°"])
    '1-3, 8 px, 4 px zero, 90°, 180°'
    """
    amounts: dict[str, set[int]] = {}
    for transform in transforms:
        number = re.match("[0-9]{1,4}(?= px|°)", transform)
        of_kind = amounts.setdefault(transform[number.end() :] if number else transform, set())
        if number:
            of_kind.add(int(number[0]))
    texts = []
    for kind, of_kind in amounts.items():
        runs = ranges(sorted(of_kind)).split(",") if of_kind else [""]
        texts.append(f"{', '.join(runs)}{kind}" if kind.startswith(" ") else ", ".join(run + kind for run in runs))
    return ", ".join(texts)
