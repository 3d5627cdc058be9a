"""Angle curves: the channel score of networks under rotations by every tenth degree, beside what interpolation loses.

    python -m examples.angle_curve [--images 16] [--photographs]

A harmonic network is built to turn with the image, so its curve is flat. Two plain networks of its size, of random
filters and of random filters that are as smooth as the harmonic ones, are not. EfficientNet-Lite0, trained on ImageNet,
is there if the package with its weights is installed (see :mod:`examples.trained_network`).

What a sceptic looks for: only quarter turns need no interpolation.

- "interp." is what interpolation leaves of the map alone, warped and warped back. It is about the same from 10 to 80
  degrees, so it bends no curve. The harmonic network scores what its interpolation leaves, which is all one can see.
- The image is interpolated, too, and a network may answer to the little blur. That and the map's loss are there in full
  at ten degrees. So both together are the spike at a quarter turn: how far it stands above the angles beside it.
- A dip between quarter turns, lowest about 45 degrees, that is deeper than the spike is the network's own: it treats
  the directions of the grid, or the horizontals and verticals that it was trained on, differently from the rest.

The last lines of a table show both: they fold the curve about 90, 180 and 270 degrees. About 0 nobody could tell a dip
from what any selectivity loses with the angle.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from zooaudit.contract import AuditRequest, PartName, Report, WarpRow

from examples.photographs import write_tiles
from examples.trained_network import model_of, write_checkpoint
from worker import calibrate
from worker.audit import run
from worker.known.networks import EVERY_TENTH_DEGREE, NETWORKS

KNOWN = ("harmonic-network", "plain-filters", "plain-blurred-filters")
PARTS: tuple[PartName, ...] = ("Early", "Middle", "Late")
QUARTER = 90


def known_reports() -> dict[str, Report]:
    """Audit the networks of known answer by their names, each of three blocks: Early, Middle and Late are one each."""
    return {known.name: calibrate.audit(known) for known in NETWORKS if known.name in KNOWN}


def trained_report(num_images: int, photographs: bool) -> Report:
    """Audit EfficientNet-Lite0 on synthetic images, or on those photographs that scikit-image ships.

    Raises ModuleNotFoundError if the package with the weights, or scikit-image, is not installed.
    """
    with TemporaryDirectory() as folder:
        checkpoints, tiles = Path(folder, "checkpoints"), Path(folder, "photographs")
        request = AuditRequest(
            model=model_of(),
            weights=write_checkpoint(checkpoints),
            dataset="photographs" if photographs else "synthetic",
            num_images=min(num_images, write_tiles(tiles)) if photographs else num_images,
            **EVERY_TENTH_DEGREE,
        )
        return run(request, checkpoints=checkpoints, datasets={"photographs": tiles})


def rows_of(report: Report, part: PartName) -> dict[int, WarpRow]:
    """Return the rows of a part's curve by angle, from 0 to 350 degrees."""
    score = report.parts[part].warp_rotation
    assert score is not None
    rows = {round(row.amount) % 360: row for row in score.by_transform}
    return dict(sorted(rows.items()))


def table(name: str, report: Report) -> str:
    """Lay a report's curves out as a table: the score and the interpolation of each part by angle, then folded."""
    curves = [rows_of(report, part) for part in PARTS]
    lines = [f"{name:10}" + "".join(f"{part:>10} interp." for part in PARTS)]
    lines += [_line(f"{angle}", [[rows[angle]] for rows in curves]) for angle in curves[0]]
    lines.append("off 90, 180, 270 by:")
    turned = [angle for angle in curves[0] if QUARTER / 2 < angle < 360 - QUARTER / 2]
    for off in sorted({_off(angle) for angle in turned}):
        folded = [[rows[angle] for angle in turned if _off(angle) == off] for rows in curves]
        lines.append(_line(f"{off}", folded))
    return "\n".join(lines)


def _off(angle: int) -> int:
    """Return the distance to the nearest quarter turn."""
    return min(angle % QUARTER, -angle % QUARTER)


def _line(head: str, cells: Sequence[Sequence[WarpRow]]) -> str:
    values = ((_mean(row.channel for row in rows), _mean(row.interpolation for row in rows)) for rows in cells)
    return f"{head:>10}" + "".join(f"{channel:10.3f} {interpolation:7.3f}" for channel, interpolation in values)


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return fmean(known) if known else float("nan")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.angle_curve", description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=16, help="for the trained network (default: 16)")
    parser.add_argument(
        "--photographs", action="store_true", help="for the trained network, in place of synthetic ones"
    )
    options = parser.parse_args(arguments)
    for name, report in known_reports().items():
        print(table(name, report), end="\n\n", flush=True)
    try:
        print(table("EfficientNet-Lite0", trained_report(options.images, options.photographs)))
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
