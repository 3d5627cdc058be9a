"""``zooaudit leaderboard``: the newest audit of each model by one method."""

import argparse
import math
import sys
from typing import TYPE_CHECKING, get_args

from zooaudit.cli import completion
from zooaudit.cli.exit_codes import Exit, Mistake
from zooaudit.contract import (
    ALL_TRANSFORMS,
    LEADERBOARD_COLUMNS,
    LEADERBOARD_NUMBERS,
    LEADERBOARD_SCORES,
    SEARCHED_ZOOS,
    Axis,
    Direction,
    LeaderboardRow,
    TransformName,
    leaderboard_number,
)
from zooaudit.options import LeaderboardOptions
from zooaudit.views.leaderboard_table import leaderboard_table
from zooaudit.views.terminal import print_tables

if TYPE_CHECKING:
    from zooaudit.client import AuditClient

WORDS = ("model", "family", "source", "weights")
"""The columns that are sorted from A to Z unless --reverse is given; all others from the highest number down."""
GIVEN = (
    *("dataset", "num_images", "seed", "translations_px", "direction", "rotations_deg", "reflections"),
    *("warps", "deformation", "local", "consistency_draws", "variance"),
    *("similarity", "border", "precision", "tolerance", "protocol", "images_sha256"),
)
FILTERS = ("family", "source", "weights", "min_parameters", "max_parameters", "min_top1", "max_top1")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command: the order, the filters, and the settings that choose the method."""
    parser.add_argument("query", nargs="?", metavar="QUERY", help="words of the model's name")
    sort = parser.add_argument(
        "--sort",
        default="rotation.Late.channel",
        metavar="COLUMN",
        help="a score such as rotation.Late.channel or translation.Final.layer, highest first (default "
        "rotation.Late.channel); local_error.Late.rotation, variance.Late.translation, deformation.Late.ratio, "
        "consistency; or imagenet_top1, parameters, model, family, finished_at",
    )
    sort.completer = lambda **_: LEADERBOARD_COLUMNS  # type: ignore[attr-defined]  # where argcomplete looks for it
    parser.add_argument("--reverse", action="store_true", help="lowest first; names from Z to A")
    parser.add_argument("--score", choices=LEADERBOARD_SCORES, help="the score to show (default: the one sorted by)")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most this many (default 20)")
    parser.add_argument("--family")
    parser.add_argument("--source", choices=SEARCHED_ZOOS)
    weights = parser.add_argument(
        "--weights", metavar="KIND", help="pretrained, untrained, checkpoint or checkpoint:NAME"
    )
    weights.completer = completion.weights  # type: ignore[attr-defined]
    for bound, word in (("min", "at least"), ("max", "at most")):
        parser.add_argument(f"--{bound}-parameters", type=_count, metavar="N", help=f"{word} so many, such as 25e6")
        parser.add_argument(f"--{bound}-top1", type=float, metavar="PERCENT", help=f"{word} this ImageNet accuracy")
    method = parser.add_argument_group("the method, by default that of the most models")
    dataset = method.add_argument("--dataset", metavar="NAME")
    dataset.completer = completion.datasets  # type: ignore[attr-defined]
    method.add_argument("--num-images", type=int, metavar="N")
    method.add_argument("--seed", type=int, metavar="N")
    method.add_argument("--translations-px", metavar="LIST", help="1,2,8 or 1-32 or none")
    method.add_argument("--direction", choices=get_args(Direction))
    method.add_argument("--rotations-deg", metavar="LIST")
    both = ",".join(get_args(Axis))
    method.add_argument(
        "--reflections",
        choices=["none", *get_args(Axis), both],
        metavar="LIST",
        help=f"none, {', '.join(get_args(Axis))}, or {both}",
    )
    method.add_argument("--warps", metavar="LIST", help="'rotation:15,30 translation:0.5' or none")
    method.add_argument(
        "--deformation", metavar="PX,...[:CUTOFF]", help="0.5,1,2,4, or with another cutoff than 3 0.5,1,2,4:5, or none"
    )
    method.add_argument("--local", action=argparse.BooleanOptionalAction)
    method.add_argument("--consistency-draws", type=int, metavar="N")
    method.add_argument("--variance", action=argparse.BooleanOptionalAction)
    method.add_argument("--similarity", choices=["correlation", "cosine"])
    method.add_argument("--border", choices=["crop", "zero", "circular"])
    method.add_argument("--precision", choices=["float32", "tf32", "bfloat16"])
    method.add_argument("--tolerance", metavar="WIDTH", help="the width of intervals at which audits ended, or none")
    method.add_argument("--protocol", metavar="VERSION", help="the version of the measure")
    method.add_argument("--images-sha256", metavar="HEX", help="how the hash of the list of images starts")


def run(client: "AuditClient", args: argparse.Namespace) -> Exit:
    if args.sort not in LEADERBOARD_COLUMNS:
        facts = ", ".join(column for column in LEADERBOARD_COLUMNS if "." not in column)
        raise Mistake(
            f"There is no column {args.sort!r} to sort by: there are {facts}, and scores such as rotation.Late.channel."
        )
    descending = (args.sort not in WORDS) is not args.reverse
    options: LeaderboardOptions = {"sort": f"-{args.sort}" if descending else args.sort, "limit": args.limit}
    given = {name: getattr(args, name) for name in (*GIVEN, *FILTERS) if getattr(args, name) is not None}
    if args.query:
        given["q"] = args.query
    board = client.leaderboard(**options, **given)
    if board.rows and all(_sorted_by(row, args.sort) is None for row in board.rows):
        print(f"No model here has a {args.sort}: the rows are not sorted by it.", file=sys.stderr)
    if args.json:
        print(board.model_dump_json(indent=2))
        return Exit.OK
    transform, _, score = args.sort.partition(".")
    is_score = transform in ALL_TRANSFORMS
    score_name = args.score or (score.split(".")[1] if is_score else "channel")
    score_name = score_name if score_name in LEADERBOARD_SCORES else "channel"
    narrow_transform: TransformName = next((each for each in ALL_TRANSFORMS if each == transform), "rotation")
    is_shown = is_score and score.split(".")[1] in LEADERBOARD_SCORES
    number = args.sort if args.sort in LEADERBOARD_NUMBERS and not is_shown else None
    print_tables([leaderboard_table(board, score_name, narrow_transform, number)], sys.stdout)
    return Exit.OK


def _count(text: str) -> int:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 25e6")
    return int(value)


def _sorted_by(row: LeaderboardRow, column: str) -> object:
    """Return what a row has in the column by which rows are sorted; None if it has nothing there."""
    return leaderboard_number(row, column) if "." in column or column in LEADERBOARD_NUMBERS else getattr(row, column)
