"""The commands and options of the command line ``zooaudit``, and how their values are parsed."""

import argparse
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from zooaudit.cli import (
    commands,
    completion,
    explain,
    exporting,
    importing,
    keeping,
    leaderboard,
    publishing,
    second_opinion,
)
from zooaudit.cli.exit_codes import Exit
from zooaudit.cli.sweep import PRIORITY
from zooaudit.cli.terms import terms
from zooaudit.contract import (
    RANKS,
    SCORES,
    SEARCHED_ZOOS,
    AuditRequest,
    Axis,
    Deformations,
    Direction,
    Sort,
    Status,
    Warps,
    deformation_from,
    deformation_text,
    warps_from,
)
from zooaudit.options import DEFAULT_URL
from zooaudit.version import __version__
from zooaudit.views import figures
from zooaudit.views.text import ranges

EPILOG = f"""\
environment:
  ZOOAUDIT_URL      the service's address, unless --url gives it
                    (default {DEFAULT_URL})
  ZOOAUDIT_API_KEY  the API key, if the service asks for one
  HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE
                    how to reach it, unless it is on this machine

exit codes:
  0    done
  1    the audit failed or was canceled, or one of a sweep did or was refused
  2    wrong usage, a file that cannot be read or written, an extra that is not
       installed, or a request that the service finds invalid (no such model, ...)
  3    the service cannot be reached, or cannot serve now
  4    the service refuses (no such audit, API key missing, report not ready, ...)
  5    --timeout passed; the audit goes on
  6    replay: the numbers differ
  130  Ctrl-C; the audit goes on
"""


COMPLETION = """\
bash  echo 'eval "$(zooaudit completion bash)"' >> ~/.bashrc
zsh   echo 'eval "$(zooaudit completion zsh)"' >> ~/.zshrc     # after compinit
fish  zooaudit completion fish > ~/.config/fish/completions/zooaudit.fish"""

MODEL_HELP = "timm/NAME[.TAG], torchvision/NAME, or own/NAME for one of the operator's own"
TIMEOUT_HELP = "wait no longer than this"

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction["Parser"]


class Parser(argparse.ArgumentParser):
    """A parser that tells a mistake in a sentence, without the usage of a dozen options."""

    def error(self, message: str) -> NoReturn:
        self.exit(Exit.USAGE, f"{self.prog}: {message}. See {self.prog} --help.\n")


def make_parser() -> Parser:
    """Make the parser of all commands. It stores the function of the command that it parses as ``run``."""
    parser = Parser(
        prog="zooaudit",
        description="Audits how equivariant pretrained image models are, and where in their depth.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_shared()],
    )
    parser.set_defaults(url=None, json=False)
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        _audit,
        _sweep,
        _status,
        _report,
        _explain,
        _replay,
        _cancel,
        _list,
        _models,
        _model,
        _compare,
        _second_opinion,
        _leaderboard,
        _terms,
        _health,
    ):
        add(subparsers)
    for module in (importing, exporting, publishing):
        module.add(subparsers, _command)
    keeping.add_commands(partial(_command, subparsers))
    _completion(subparsers)
    return parser


def _audit(subparsers: "Subparsers") -> None:
    parser = _command(subparsers, "audit", commands.audit, "ask for an audit of a model", _waiting())
    _complete(parser.add_argument("model", metavar="MODEL", help=MODEL_HELP), completion.models)
    text = "only tell what the audit would cost: its forward images, and about how long they take"
    parser.add_argument("--dry-run", action="store_true", help=text)
    _audit_options(parser)


def _sweep(subparsers: "Subparsers") -> None:
    text = "ask for audits of all models that match, and wait for them"
    parser = _command(subparsers, "sweep", commands.sweep, text)
    text = "matches full names, such as 'timm/*in1k' or 'torchvision/resnet*'"
    _complete(parser.add_argument("pattern", metavar="PATTERN", help=text), completion.models)
    _audit_options(parser, priority=PRIORITY)


def _status(subparsers: "Subparsers") -> None:
    _audit_id(_command(subparsers, "status", commands.status, "show the state of an audit"))


def _report(subparsers: "Subparsers") -> None:
    parser = _command(subparsers, "report", commands.report, "show the report of an audit", _waiting(), _plotting())
    _report_of(parser)
    _figure_option(parser, figures.NAMES)


def _explain(subparsers: "Subparsers") -> None:
    parser = _command(subparsers, "explain", explain.explain, explain.TEXT, _plotting())
    _audit_id(parser)
    explain.add_options(parser)


def _replay(subparsers: "Subparsers") -> None:
    text = "run the audit of a report again and compare the numbers; exit code 6 if they differ"
    parser = _command(subparsers, "replay", commands.replay, text)
    _report_of(parser)
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help=TIMEOUT_HELP)


def _cancel(subparsers: "Subparsers") -> None:
    _audit_id(_command(subparsers, "cancel", commands.cancel, "cancel a queued or running audit"))


def _list(subparsers: "Subparsers") -> None:
    parser = _command(subparsers, "list", commands.audits, "list audits, by default newest first")
    parser.add_argument("--status", choices=list(map(str, Status)))
    text = "only audits of models with this in their name"
    _complete(parser.add_argument("--model", metavar="NAME", help=text), completion.models)
    parser.add_argument("--label", metavar="LABEL", help="only audits with this label")
    parser.add_argument("--archived", choices=["true", "any"], help="list archived audits only, or too")
    orders = get_args(Sort)
    parser.add_argument(
        "--sort",
        choices=orders,
        metavar="ORDER",
        help=f"one of {', '.join(orders[::2])}; with = and a minus sign, descending: --sort=-duration",
    )
    parser.add_argument("--limit", type=_positive, default=50, help="at most this many (default 50)")


def _models(subparsers: "Subparsers") -> None:
    parser = _command(subparsers, "models", commands.models, "search the models that can be audited")
    parser.add_argument("query", nargs="?", metavar="QUERY", help="part of a name")
    parser.add_argument("--family")
    parser.add_argument("--source", choices=SEARCHED_ZOOS)
    parser.add_argument("--limit", type=_positive, default=100, help="at most this many (default 100)")


def _model(subparsers: "Subparsers") -> None:
    text = "show one model and its depth, the blocks that an audit measures"
    parser = _command(subparsers, "model", commands.model, text)
    _complete(parser.add_argument("name", metavar="MODEL", help=MODEL_HELP), completion.models)
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="wait no longer than this for a worker to find the blocks (default 30)",
    )


def _compare(subparsers: "Subparsers") -> None:
    text = "compare audits by part, with one of them as the reference, and their scores with ImageNet accuracy"
    parser = _command(subparsers, "compare", commands.compare, text, _plotting())
    _selection(parser)
    parser.add_argument("--score", choices=SCORES, default="channel", help="the score to show")
    reference_text = "the audit that the others are set against, named like the others (default: the first)"
    _complete(parser.add_argument("--reference", metavar="AUDIT", help=reference_text), completion.audits_and_files)
    _top1_option(parser)
    _figure_option(parser, (*figures.NAMES, "accuracy"))


def _second_opinion(subparsers: "Subparsers") -> None:
    text = "tell whether measures agree, over the blocks of one audit or over the models of several"
    parser = _command(subparsers, "second-opinion", second_opinion.run, text, _plotting())
    parser.set_defaults(figure="measures")
    _selection(parser)
    _top1_option(parser)


def _leaderboard(subparsers: "Subparsers") -> None:
    text = "show the newest audit of each model by one method, the highest scores first"
    leaderboard.add_options(_command(subparsers, "leaderboard", leaderboard.run, text))


def _terms(subparsers: "Subparsers") -> None:
    parser = _command(subparsers, "terms", terms, "explain the words of a report")
    parser.add_argument("term", nargs="?", metavar="TERM", help="one of them, such as 'layer' or 'aligned'")


def _health(subparsers: "Subparsers") -> None:
    _command(subparsers, "health", commands.health, "show the state of the service; exit code 3 unless all is well")


def _completion(subparsers: "Subparsers") -> None:
    parser = subparsers.add_parser(
        "completion",
        help="print the code that makes a shell complete zooaudit",
        description="Prints the code that makes a shell complete commands, options, models and audits.\n\n"
        + COMPLETION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=completion.SHELLS)


def _command(
    subparsers: "Subparsers",
    name: str,
    run: Callable[..., Exit],
    text: str,
    *parents: Parser,
) -> Parser:
    """Add a command that talks to the service, with the options of ``parents`` and those of all such commands."""
    parser = subparsers.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        parents=[*parents, _shared()],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _shared() -> Parser:
    """Make the options that may stand before the command or after it: only one that is given is set."""
    parser = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("--url", help="the service's address")
    parser.add_argument("--json", action="store_true", help="print one JSON document, and nothing else, on stdout")
    return parser


def _waiting() -> Parser:
    """Make the options of the commands that may wait for a report."""
    parser = Parser(add_help=False)
    parser.add_argument("--wait", action="store_true", help="show progress, then the report")
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help=TIMEOUT_HELP)
    _file_option(parser, "--output", "write the report there as JSON")
    return parser


def _plotting() -> Parser:
    """Make the options of the commands that may write a figure."""
    parser = Parser(add_help=False)
    _file_option(parser, "--html", "write a figure there as a page")
    _file_option(parser, "--png", "write a figure there as a picture")
    return parser


def _figure_option(parser: Parser, names: Sequence[str]) -> None:
    text = 'the figure to write (default parts); "all" puts all of them on one page, for --html'
    parser.add_argument("--figure", choices=[*names, commands.ALL], default="parts", help=text)


def _selection(parser: Parser) -> None:
    """Add the options that choose audits, for :func:`zooaudit.cli.selection.select`."""
    audits = parser.add_argument(
        "audits",
        nargs="+",
        metavar="AUDIT",
        help="an audit's id, or how it starts; a report's file; or a model's name or pattern, for the newest report of "
        "each model that matches",
    )
    _complete(audits, completion.audits_and_files)
    weights_text = "with names of models: only reports of these weights, such as checkpoint:*"
    _complete(parser.add_argument("--weights", metavar="KIND", help=weights_text), completion.weights)
    dataset_text = "with names of models: only reports on this data set"
    _complete(parser.add_argument("--dataset", metavar="NAME", help=dataset_text), completion.datasets)
    parser.add_argument(
        "--num-images", type=_positive, metavar="N", help="with names of models: only reports of this many images"
    )
    parser.add_argument(
        "--seed", type=_whole_number, metavar="N", help="with names of models: only reports with this seed"
    )


def _top1_option(parser: Parser) -> None:
    top1_text = (
        "accuracies in per cent: columns model and top1, as in timm's lists. A model's name stands for its pretrained "
        "weights; for others put the audit's id into the column model"
    )
    _complete(parser.add_argument("--top1", type=Path, metavar="FILE.csv", help=top1_text), completion.files)


def _file_option(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    _complete(parser.add_argument(name, type=commands.output_file, metavar="FILE", help=text), completion.files)


def _audit_id(parser: argparse.ArgumentParser) -> None:
    _complete(parser.add_argument("audit", metavar="ID", help="the audit's id, or how it starts"), completion.audits)


def _report_of(parser: argparse.ArgumentParser) -> None:
    text = "an audit's id, or how it starts; or a report's file, as --output writes it"
    _complete(parser.add_argument("audit", metavar="AUDIT", help=text), completion.audits_and_files)


def _complete(argument: argparse.Action, completer: Callable[..., object]) -> None:
    argument.completer = completer  # type: ignore[attr-defined]  # where argcomplete looks for it


def _audit_options(parser: argparse.ArgumentParser, **defaults: str) -> None:
    """Add an option for each field of an audit's request, with its default in its help: that of the command, else the
    field's."""
    fields = AuditRequest.model_fields
    completers: dict[str, Callable[..., object]] = {"weights": completion.weights, "dataset": completion.datasets}

    def option(name: str, text: str, **settings: Any) -> None:
        default = defaults.get(name, fields[name].default)
        default_text = ranges(default) if isinstance(default, tuple) else default
        help_text = f"{text} (default {default_text})"
        added = parser.add_argument(f"--{name.replace('_', '-')}", help=help_text, **settings)
        if name in completers:
            _complete(added, completers[name])

    # None, not False, of a flag that is not given: only options that were given are sent.
    option("weights", "pretrained, untrained or checkpoint:NAME", metavar="KIND")
    option("checkpoint_version", "version of the checkpoint's content", metavar="HEX")
    option("dataset", "one of the service's data sets", metavar="NAME")
    option("num_images", "how many images", type=_whole_number, metavar="N")
    option("seed", "chooses the images", type=_whole_number, metavar="N")
    option("translations_px", "shifts in pixels: 1,2,8 or 1-32 or none", type=_numbers, metavar="LIST")
    option("direction", "where shifts go: right and down at once, or one of both", choices=get_args(Direction))
    option("rotations_deg", "rotations in degrees, or none", type=_numbers, metavar="LIST")
    option("reflections", "horizontal, vertical, or horizontal,vertical", type=_axes, metavar="LIST")
    option("warps", "transforms that need interpolation: 'rotation:15,30 translation:0.5'", type=_warps, metavar="LIST")
    displacements = deformation_text(Deformations())
    option(
        "deformation",
        f"also measure random deformations by so many px in the mean; without a value {displacements}; after a colon "
        "their cutoff, the highest frequency of the waves: 1,2:5",
        type=_deformation,
        nargs="?",
        const=Deformations(),
        metavar="PX,...[:CUTOFF]",
    )
    option("local", "also measure the local equivariance error", action="store_true", default=None)
    option("consistency_draws", "also measure the shift consistency, often 5 draws", type=_whole_number, metavar="N")
    option("variance", "also measure the variance over transforms", action="store_true", default=None)
    option("similarity", "how feature maps are compared", choices=["correlation", "cosine", "both"])
    option("border", "what fills the border of a shifted image", choices=["crop", "zero", "circular", "all"])
    option("precision", "precision of the forward passes", choices=["float32", "tf32", "bfloat16"])
    option("tolerance", "stop when every part's interval is this narrow", type=_number, metavar="WIDTH")
    option("baseline", "also measure the untrained architecture", action="store_true", default=None)
    option("baseline_seeds", "number of untrained initialisations", type=_whole_number, metavar="N")
    option("repetition", "another number runs the same audit again", type=_whole_number, metavar="N")
    option("priority", "where the audit waits in the queue", choices=list(RANKS)[::-1])
    option("callback_url", "told of the audit's end by a signed POST", metavar="URL")


def _numbers(text: str) -> tuple[int, ...]:
    """Parse a list such as "1,2,8", "1-32", "1-4,8" or "none".

    >>> _numbers("1-3,8")
    (1, 2, 3, 8)
    """
    if text == "none":
        return ()
    values: list[int] = []
    for item in text.split(","):
        first, dash, last = item.partition("-")
        try:
            run = range(int(first), int(last if dash else first) + 1)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not like 1,2,8 or 1-32 or none") from None
        if not run or len(run) > 1000:
            raise argparse.ArgumentTypeError(f"{item!r} is not a range from a smaller to a larger number")
        values += run
    return tuple(values)


def _axes(text: str) -> tuple[str, ...]:
    """Parse a list such as "horizontal", "horizontal,vertical" or "none"."""
    axes = () if text == "none" else tuple(text.split(","))
    if not set(axes) <= set(get_args(Axis)):
        raise argparse.ArgumentTypeError(f"{text!r} is not like horizontal,vertical or none")
    return axes


def _warps(text: str) -> tuple[Warps, ...]:
    """Parse warps such as "rotation:15,30 translation:0.5", or "none"."""
    try:
        return warps_from(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _deformation(text: str) -> Deformations | None:
    """Parse displacements such as "0.5,1,2", with another cutoff "0.5,1,2:5", or "none"."""
    try:
        return deformation_from(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
