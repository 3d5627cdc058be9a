"""``zooaudit explain``: the maps of one block for one image, and the images on which the model is least equivariant."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, get_args

from zooaudit.cli.commands import _print_json, _require_plotly, _save_figures
from zooaudit.cli.exit_codes import Exit, Mistake
from zooaudit.contract import Axis, warps_from
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
    transform.add_argument("--reflection", choices=get_args(Axis), help="a reflection that the audit has measured")
    transform.add_argument("--warp", metavar="WARP", help="a warp that the audit has measured, such as rotation:15")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="wait no longer than this for a worker")


def explain(client: "AuditClient", args: argparse.Namespace) -> Exit:
    _require_plotly(args)
    report = client.report(args.audit)
    how = {**_transform(report, args), "timeout": args.timeout}
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


def _transform(report: Report, args: argparse.Namespace) -> dict[str, Any]:
    """Return the transform that is asked for, or one of the audit's own."""
    if args.warp is not None:
        return _warp(args.warp)
    asked = {"shift_px": args.shift, "angle_deg": args.angle, "axis": args.reflection}
    if any(value is not None for value in asked.values()):
        return asked
    method = report.method
    own: list[dict[str, Any]] = [
        *({"shift_px": shift} for shift in reversed(method.translations_px)),
        *({"angle_deg": angle} for angle in method.rotations_deg),
        *({"axis": axis} for axis in method.reflections),
        *({"warp": warps.kind, "amount": warps.amounts[-1]} for warps in method.warps),
    ]
    return own[0]


def _warp(text: str) -> dict[str, Any]:
    try:
        amounts = [(warps.kind, amount) for warps in warps_from(text) for amount in warps.amounts]
    except ValueError as error:
        raise Mistake(f"--warp: {error}") from None
    if len(amounts) != 1:
        raise Mistake(f"--warp: give one warp, such as rotation:15, and not {text}.")
    return dict(zip(("warp", "amount"), amounts[0], strict=True))


def _last_block(report: Report) -> str:
    names = [block.name for block in report.blocks if block.part not in ("Pool", "Final")]
    if not names:
        raise Mistake("The report has no block with maps.")
    return names[-1]
