"""``zooaudit explain``: the maps of one block for one image, and the images on which the model is least equivariant."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from zooaudit.cli.commands import _print_json, _require_plotly, _save_figures
from zooaudit.cli.exit_codes import Exit, Mistake
from zooaudit.results import Report
from zooaudit.views import figures
from zooaudit.views.explanation_tables import channels_table, least_table
from zooaudit.views.terminal import print_tables, spinner

if TYPE_CHECKING:
    from zooaudit.client import AuditClient

TEXT = (
    "show what the strongest channels of a block make of an image and of the transformed image; without --image, of "
    "the image on which the model is least equivariant"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(figure="maps")
    parser.add_argument("--block", metavar="NAME", help="a block of the report (default: the last one that has maps)")
    text = "an image's place in the order of measuring, from 0, or its relative path (default: the least equivariant)"
    parser.add_argument("--image", metavar="IMAGE", help=text)
    transform = parser.add_mutually_exclusive_group()
    text = "a shift in px that the audit has measured (default: its largest)"
    transform.add_argument("--shift", type=int, metavar="PX", help=text)
    text = "a rotation in degrees that the audit has measured (default, without shifts: its first)"
    transform.add_argument("--angle", type=int, metavar="DEG", help=text)
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="wait no longer than this for a worker")


def explain(client: "AuditClient", args: argparse.Namespace) -> Exit:
    _require_plotly(args)
    report = client.report(args.audit)
    shift_px, angle_deg = _transform(report, args)
    how = {"shift_px": shift_px, "angle_deg": angle_deg, "timeout": args.timeout}
    least, image = None, args.image
    if image is None:
        with spinner(
            "A worker looks for the images on which the model is least equivariant, unless that has been done"
        ):
            least = client.least_equivariant(report.id, **how)
        image = least.least[0].place if least.least else 0
    with spinner("A worker makes the maps, unless that has been done"):
        maps = client.explain(report.id, block=args.block or _last_block(report), image=image, **how)
    if args.json:
        if least is None:
            _print_json(maps)
        else:
            both = {"least_equivariant": least.model_dump(mode="json"), "explanation": maps.model_dump(mode="json")}
            print(json.dumps(both, indent=2))
    else:
        print_tables([*([least_table(least)] if least else []), channels_table(maps)], sys.stdout)
    _save_figures(lambda _: figures.maps(maps), (), args)
    return Exit.OK


def _transform(report: Report, args: argparse.Namespace) -> tuple[int | None, int | None]:
    """Return the shift or else the rotation that is asked for, or the audit's own."""
    if args.shift is not None or args.angle is not None:
        return args.shift, args.angle
    if report.method.translations_px:
        return max(report.method.translations_px), None
    return None, report.method.rotations_deg[0]


def _last_block(report: Report) -> str:
    names = [block.name for block in report.blocks if block.part not in ("Pool", "Final")]
    if not names:
        raise Mistake("The report has no block with maps.")
    return names[-1]
