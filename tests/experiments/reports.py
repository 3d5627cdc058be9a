"""Reports with made-up scores."""

from collections.abc import Mapping

from zooaudit import Report
from zooaudit.contract import PARTS, Part, PartName, RotationScore, ShiftRow, TranslationScore

from tests.client.samples import report

HALF = 0.01
"""Half of the width of each interval over images."""


def made_up(
    channel: Mapping[PartName, float],
    layer: Mapping[PartName, float] | None = None,
    by_shift: Mapping[PartName, Mapping[int, float]] | None = None,
) -> Report:
    """Make a report with these scores, the same under translation and rotation; parts that are not named have 0.5."""
    parts = {}
    for name in PARTS:
        own = channel.get(name, 0.5)
        best = (layer or channel).get(name, own)
        scores = {"channel": own, "layer": best}
        scores |= {"channel_interval": (own - HALF, own + HALF), "layer_interval": (best - HALF, best + HALF)}
        rows = tuple(
            ShiftRow(shift_px=shift, channel=value, layer=value)
            for shift, value in (by_shift or {}).get(name, {}).items()
        )
        parts[name] = Part(
            blocks=1,
            translation=TranslationScore(**scores, by_transform=rows),
            rotation=RotationScore(**scores, by_transform=()),
        )
    return report().model_copy(update={"parts": parts})
