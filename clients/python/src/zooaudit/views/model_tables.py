"""The tables of a list of models, and of one model with its depth."""

from collections.abc import Sequence

from zooaudit.contract import DepthBlock, ModelDetail, ModelList
from zooaudit.views.tables import Table
from zooaudit.views.text import printable


def models_table(models: ModelList) -> Table:
    """Show architectures, one a row."""
    rows = [
        [
            printable(entry.name),
            printable(entry.family),
            _count(entry.input_size),
            _count(entry.parameters),
            "yes" if entry.pretrained else "no",
            "yes" if entry.supported else "no",
        ]
        for entry in models.models
    ]
    columns = ("Model", "Family", "Input side", "Parameters", "Pretrained", "Supported")
    without_family = Table((columns[0], *columns[2:]), [(row[0], *row[2:]) for row in rows], flexible=0)
    return Table(columns, rows, narrower=[without_family])


def model_tables(model: ModelDetail) -> list[Table]:
    """Show one model, and the blocks that an audit measures."""
    pretrained = ", ".join(model.tags) or model.default_weights or ("yes" if model.pretrained else "no")
    facts = [
        ("Family", printable(model.family)),
        ("Input side", _count(model.input_size)),
        ("Parameters", _count(model.parameters)),
        ("ImageNet top-1", "–" if model.imagenet_top1 is None else f"{model.imagenet_top1:g} %"),
        ("Pretrained", printable(pretrained)),
    ]
    if model.code:
        facts.append(("Made by", printable(model.code.function)))
    if not model.supported:
        facts.append(("Not supported", printable(model.reason or "the service gives no reason")))
    notes = []
    if model.blocks is None and model.blocks_reason and model.blocks_reason != model.reason:
        notes.append(f"No blocks: {printable(model.blocks_reason)}")
    overview = Table(("Model", printable(model.full_name)), facts, notes=notes, flexible=1)
    return [overview] if model.blocks is None else [overview, _blocks_table(model.blocks)]


def _blocks_table(blocks: Sequence[DepthBlock]) -> Table:
    rows = [
        [printable(block.name), block.part, block.layout, str(block.channels), str(block.height), str(block.width)]
        for block in blocks
    ]
    return Table(("Block", "Part", "Layout", "Channels", "Height", "Width"), rows, numbers_from=3, flexible=0)


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
