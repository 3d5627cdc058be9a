"""The table of a leaderboard."""

from zooaudit.contract import PARTS, Leaderboard, LeaderboardRow, TransformName, leaderboard_number
from zooaudit.views.report_tables import method_line
from zooaudit.views.tables import Table
from zooaudit.views.text import counted, joined, printable, spoken, three_decimals

SHORT: dict[TransformName, str] = {
    "translation": "Transl.",
    "rotation": "Rot.",
    "reflection": "Refl.",
    "warp_translation": "Warp transl.",
    "warp_rotation": "Warp rot.",
    "warp_scale": "Warp scale",
    "warp_shear": "Warp shear",
}


def leaderboard_table(
    board: Leaderboard,
    score_name: str = "channel",
    narrow_transform: TransformName = "rotation",
    number: str | None = None,
) -> Table:
    """Show one score of each model by part. A narrow terminal shows it for one of the transforms only. ``number`` is
    another of LEADERBOARD_NUMBERS to show, that of another measure."""
    if board.method is None:
        return Table((), (), notes=["No audit by such a method has succeeded.", *_missing(board)])
    method = board.method
    images = f"{counted(method.num_images, 'image')} of {printable(method.dataset)}, seed {method.seed}"
    shown = "" if len(board.rows) == board.total else f"; {len(board.rows)} of {board.total} rows are shown"
    others = len(board.methods) - 1
    notes = [
        f"{images}; {method_line(method)}{shown}",
        *(
            [f"There are audits by {counted(others, 'other method')}, which cannot be compared with these."]
            * (others > 0)
        ),
        *_missing(board),
    ]

    def table(transforms: tuple[TransformName, ...], narrower: tuple[Table, ...] = ()) -> Table:
        scores = [(transform, part_name) for transform in transforms for part_name in PARTS]
        short = SHORT if len(transforms) > 1 else dict.fromkeys(transforms, "")
        heads = [f"{short[transform]} {part_name}".strip() for transform, part_name in scores]
        columns = ("Model", "Params", "Top-1 %", *([number_head(number)] if number else []), *heads)
        rows = [
            [
                *_facts(row),
                *([three_decimals(leaderboard_number(row, number))] if number else []),
                *(_score(row, *pair, score_name) for pair in scores),
            ]
            for row in board.rows
        ]
        name = score_name.replace("_", " ").replace("layer held out", "layer (held out)")
        title = f"{joined([spoken(each) for each in transforms]).capitalize()}: {name} equivariance"
        return Table(columns, rows, title, numbers_from=1, notes=notes, flexible=0, narrower=narrower)

    narrow = narrow_transform if narrow_transform in method.transforms else "rotation"
    return table(method.transforms, narrower=(table((narrow,)),))


def number_head(number: str) -> str:
    """Name a column of another measure.

    >>> number_head("local_error.Late.rotation"), number_head("consistency")
    ('Local error Late rotation', 'Consistency')
    """
    words = spoken(number.replace(".", " "))
    return words[0].upper() + words[1:]


def _facts(row: LeaderboardRow) -> list[str]:
    weights = "" if row.weights == "pretrained" else f" ({printable(row.weights)})"
    top1 = "–" if row.imagenet_top1 is None else f"{row.imagenet_top1:.2f}"
    size = f"{row.parameters / 1e6:.1f}M" if row.parameters >= 1e5 else f"{row.parameters:,}"
    return [printable(row.model) + weights, size, top1]


def _score(row: LeaderboardRow, transform: TransformName, part_name: str, score_name: str) -> str:
    part = row.parts.get(part_name)  # type: ignore[call-overload]
    return "–" if part is None else three_decimals(getattr(getattr(part, transform), score_name, None))


def _missing(board: Leaderboard) -> list[str]:
    notes = []
    if board.pending:
        notes.append(f"The service has yet to read {counted(board.pending, 'report')}; until then, rows are missing.")
    if board.unreadable:
        notes.append(
            f"{counted(board.unreadable, 'report')} cannot be read: the store has lost them, or they are damaged."
        )
    return notes
