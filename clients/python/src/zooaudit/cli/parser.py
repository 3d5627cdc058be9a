"""The command line ``zooaudit``: parses arguments, runs a command, turns errors into one sentence and an exit code."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from zooaudit import __version__
from zooaudit.cli import commands, completion
from zooaudit.cli.commands import Exit, Interrupted
from zooaudit.contract import AuditRequest, Sort, Status
from zooaudit.errors import (
    AuditCanceled,
    AuditFailed,
    ConnectionFailed,
    InvalidRequest,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    WaitTimeout,
    ZooauditError,
)
from zooaudit.options import DEFAULT_URL
from zooaudit.views.text import printable, ranges

EPILOG = f"""\
environment:
  ZOOAUDIT_URL      the service's address, unless --url is given (default {DEFAULT_URL})
  ZOOAUDIT_API_KEY  the API key, where the service asks for one

exit codes:
  0    done
  1    the audit, or one of a sweep, failed or was canceled
  2    wrong usage, an extra that is not installed, or a request that the service finds invalid (no such model, ...)
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


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser()
    if "_ARGCOMPLETE" in os.environ:
        completion.complete(parser)
    args = parser.parse_args(argv)
    if "shell" in args:
        return commands.completion(args.shell)
    from zooaudit.client import AuditClient  # imports httpx, which takes longer than all the rest

    try:
        client = AuditClient(args.url)
    except ValueError as error:
        return _fail(f"{error}.", Exit.USAGE)
    try:
        with client:
            return int(args.run(client, args))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Interrupted as stopped:
        return _fail(str(stopped), Exit.INTERRUPTED)
    except ZooauditError as error:
        return _fail(str(error) + _hint(error), _exit_code(error))
    except BrokenPipeError:  # the reader of our output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except OSError as error:  # of --output
        return _fail(f"{error}.", Exit.USAGE)


def _exit_code(error: ZooauditError) -> Exit:
    match error:
        case AuditFailed() | AuditCanceled():
            return Exit.AUDIT_FAILED
        case InvalidRequest():
            return Exit.USAGE
        case ConnectionFailed() | Unavailable() | UnexpectedAnswer():
            return Exit.UNREACHABLE
        case WaitTimeout():
            return Exit.TIMEOUT
    return Exit.REFUSED


def _hint(error: ZooauditError) -> str:
    match error:
        case ConnectionFailed():
            return " Is the service running there? --url or ZOOAUDIT_URL say where it is."
        case Unauthorized() if error.problem.status == 401:
            return " The environment's ZOOAUDIT_API_KEY is sent as the key."
    return ""


def _fail(message: str, code: Exit) -> Exit:
    for line in message.splitlines():
        print(printable(line), file=sys.stderr)
    return code


def make_parser() -> argparse.ArgumentParser:
    """The commands and options of ``zooaudit``."""
    parser = argparse.ArgumentParser(
        prog="zooaudit",
        description="Audits how equivariant pretrained image models are, and where in their depth.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", help="the service's address")
    common.add_argument("--json", action="store_true", help="print one JSON document, and nothing else, on stdout")
    waiting = argparse.ArgumentParser(add_help=False)
    waiting.add_argument("--wait", action="store_true", help="show progress, then the report")
    waiting.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="wait no longer than this")
    waiting.add_argument("--output", type=commands.output_file, metavar="FILE", help="write the report there as JSON")
    plotting = argparse.ArgumentParser(add_help=False)
    plotting.add_argument("--html", type=commands.output_file, metavar="FILE", help="write a figure there as a page")
    plotting.add_argument("--png", type=commands.output_file, metavar="FILE", help="write a figure there as a picture")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    def verb(name: str, run: object, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added = verbs.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            parents=[*parents, common],
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run)
        return added

    one = verb("audit", commands.audit, "ask for an audit of a model", waiting)
    _completed(
        one.add_argument("model", metavar="MODEL", help="timm/NAME[.TAG] or torchvision/NAME"), completion.models
    )
    _audit_arguments(one)
    many = verb("sweep", commands.sweep, "ask for audits of all models that match, and wait for them")
    many.add_argument("pattern", metavar="PATTERN", help="of full names, such as 'timm/*in1k' or 'torchvision/resnet*'")
    _audit_arguments(many)
    _audit_id(verb("status", commands.status, "show how an audit is doing"))
    reported = verb("report", commands.report, "show the report of an audit", waiting, plotting)
    _audit_id(reported)
    reported.add_argument(
        "--figure", choices=["parts", "shifts", "depth"], default="parts", help="to write (default parts)"
    )
    replayed = verb("replay", commands.replay, "run the audit of a report again and compare; 6 when numbers differ")
    replayed.add_argument("file", type=Path, metavar="REPORT.json")
    replayed.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="wait no longer than this")
    _audit_id(verb("cancel", commands.cancel, "cancel a queued or running audit"))
    listed = verb("list", commands.audits, "list audits, by default newest first")
    listed.add_argument("--status", choices=list(map(str, Status)))
    listed.add_argument("--model", help="of this model only")
    listed.add_argument(
        "--sort",
        choices=get_args(Sort),
        metavar="ORDER",
        help=f"one of {', '.join(get_args(Sort)[::2])}; with = and a minus, descending: --sort=-duration",
    )
    listed.add_argument("--limit", type=_positive, default=50, help="at most this many (default 50)")
    models = verb("models", commands.models, "search the models that can be audited")
    models.add_argument("query", nargs="?", metavar="QUERY", help="part of a name")
    models.add_argument("--family")
    models.add_argument("--source", choices=["timm", "torchvision"])
    models.add_argument("--limit", type=_positive, default=100, help="at most this many (default 100)")
    model = verb("model", commands.model, "show one model and its depth, the blocks that an audit measures")
    _completed(
        model.add_argument("name", metavar="MODEL", help="timm/NAME[.TAG] or torchvision/NAME"), completion.models
    )
    model.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="for a worker to find the blocks (default 30)"
    )
    compared = verb(
        "compare", commands.compare, "compare audits by part, and their scores with ImageNet accuracy", plotting
    )
    of = "an audit's id; or a model's name or pattern, for the newest report of each model that matches"
    _completed(compared.add_argument("audits", nargs="+", metavar="AUDIT", help=of), completion.audits)
    compared.add_argument(
        "--weights", metavar="KIND", help="of models' reports: those of these weights only, such as checkpoint:*"
    )
    compared.add_argument("--dataset", metavar="NAME", help="of models' reports: those on this data set only")
    compared.add_argument("--num-images", type=_positive, metavar="N", help="of models' reports: those of so many only")
    compared.add_argument("--score", choices=["channel", "layer"], default="channel", help="the one to show")
    compared.add_argument(
        "--top1", type=Path, metavar="FILE.csv", help="accuracies in per cent: columns model and top1, as timm's lists"
    )
    compared.add_argument(
        "--figure", choices=["parts", "shifts", "depth", "accuracy"], default="parts", help="to write (default parts)"
    )
    verb("health", commands.health, "show how the service is; 3 when it is not well")
    shell = verbs.add_parser(
        "completion",
        help="print what makes a shell complete zooaudit",
        description="Prints what makes a shell complete commands, options, models and audits.\n\n" + COMPLETION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shell.add_argument("shell", choices=completion.SHELLS)
    return parser


def _audit_id(parser: argparse.ArgumentParser) -> None:
    _completed(parser.add_argument("id", metavar="ID", help="of the audit"), completion.audits)


def _completed(argument: argparse.Action, completer: Callable[..., object]) -> None:
    argument.completer = completer  # type: ignore[attr-defined]  # where argcomplete looks for it


def _audit_arguments(parser: argparse.ArgumentParser) -> None:
    fields = AuditRequest.model_fields

    def option(name: str, text: str, **how: Any) -> None:
        default = fields[name].default
        shown = ranges(default) if isinstance(default, tuple) else default
        parser.add_argument(f"--{name.replace('_', '-')}", help=f"{text} (default {shown})", **how)

    option("weights", "pretrained, untrained or checkpoint:NAME", metavar="KIND")
    option("checkpoint_version", "which content of the checkpoint", metavar="HEX")
    option("dataset", "one of the service's data sets", metavar="NAME")
    option("num_images", "how many images", type=int, metavar="N")
    option("seed", "chooses the images", type=int, metavar="N")
    option("translations_px", "diagonal shifts in pixels: 1,2,8 or 1-32 or none", type=_numbers, metavar="LIST")
    option("rotations_deg", "rotations in degrees, or none", type=_numbers, metavar="LIST")
    option("similarity", "of feature maps", choices=["correlation", "cosine", "both"])
    option("border", "what enters a shifted image", choices=["crop", "zero", "circular", "all"])
    option("precision", "of the forward passes", choices=["float32", "tf32", "bfloat16"])
    option("tolerance", "end when every part's interval is this narrow", type=float, metavar="WIDTH")
    # None, not False, where it is not given: only what was said is sent.
    option("baseline", "measure the untrained architecture, too", action="store_true", default=None)
    option("baseline_seeds", "from how many initialisations", type=int, metavar="N")
    option("repetition", "another number runs the same audit again", type=int, metavar="N")


def _numbers(text: str) -> tuple[int, ...]:
    """ "1,2,8", "1-32", "1-4,8" or "none".

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
