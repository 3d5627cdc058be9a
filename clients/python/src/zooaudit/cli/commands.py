"""The commands of the command line, each from parsed arguments to an exit code."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from zooaudit.cli import completion as shells
from zooaudit.cli.selection import read_top1, select
from zooaudit.contract import Audit, Report, Status
from zooaudit.errors import sentence
from zooaudit.handle import AuditHandle
from zooaudit.options import Options
from zooaudit.replay import compare as compare_reports
from zooaudit.sweep import matching
from zooaudit.sweep import sweep as sweep_models
from zooaudit.views import figures
from zooaudit.views.comparison_tables import comparison_tables
from zooaudit.views.panels import Figure
from zooaudit.views.tables import audits_table, model_tables, models_table, sweep_tables
from zooaudit.views.terminal import draw, report_text, sweeping, waiting
from zooaudit.views.text import printable, state

if TYPE_CHECKING:
    from zooaudit.client import AuditClient


class Exit(IntEnum):
    """What the shell is told."""

    OK = 0
    AUDIT_FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    TIMEOUT = 5
    DIFFERENT = 6
    INTERRUPTED = 130


class Interrupted(Exception):
    """Ctrl-C while waiting for an audit, which goes on; what can be done about that."""

    def __init__(self, audit: Audit) -> None:
        super().__init__(f"Take it up again: zooaudit report {audit.id} --wait\nCancel it: zooaudit cancel {audit.id}")


def audit(client: "AuditClient", args: argparse.Namespace) -> Exit:
    accepted = client.submit(args.model, **_options(args))
    if args.wait or args.output:
        return _show_report(_wait(client, accepted, args), args)
    if args.json:
        _print_json(accepted)
    else:
        print(f"{accepted.id}  {state(accepted)}")
        print(f"Follow it: zooaudit report {accepted.id} --wait", file=sys.stderr)
    return _exit_of(accepted)


def sweep(client: "AuditClient", args: argparse.Namespace) -> Exit:
    options = _options(args)
    names = matching(client, args.pattern, args.weights or "pretrained")
    if not names:
        print(f"No model that can be audited matches {printable(args.pattern)}.", file=sys.stderr)
        return Exit.USAGE
    try:
        with sweeping() as show:
            outcomes = sweep_models(client, names, options, show)
    except KeyboardInterrupt:
        print("Stopped waiting; the audits go on. The same command takes the sweep up again.", file=sys.stderr)
        return Exit.INTERRUPTED
    reports = {
        model: client.report(found.id)
        for model, found in outcomes.items()
        if isinstance(found, Audit) and found.status is Status.SUCCEEDED
    }
    if args.json:
        print(json.dumps({model: found.model_dump(mode="json") for model, found in outcomes.items()}, indent=2))
    else:
        draw(sweep_tables(reports) if reports else [], sys.stdout)
        for model, found in outcomes.items():
            if model not in reports:
                why = found if not isinstance(found, Audit) else found.error
                print(f"{printable(model)}: {printable(sentence(why)) if why else 'canceled'}")
    return Exit.OK if len(reports) == len(outcomes) else Exit.AUDIT_FAILED


def _options(args: argparse.Namespace) -> Options:
    """What was said of the audit: only that is sent."""
    return {key: value for key, value in vars(args).items() if key in Options.__annotations__ and value is not None}  # type: ignore[return-value]


def report(client: "AuditClient", args: argparse.Namespace) -> Exit:
    if not _can_draw(args):
        return Exit.USAGE
    found = _wait(client, client.status(args.id), args) if args.wait else client.report(args.id)
    shown = _show_report(found, args)
    return shown if _draw(lambda: figures.of(args.figure, [found]), args) else Exit.USAGE


def _can_draw(args: argparse.Namespace) -> bool:
    """Whether plotly is there if a figure is wanted, asked before hours of waiting."""
    if args.html or args.png:
        try:
            import plotly  # noqa: F401
        except ImportError:
            print("Figures are drawn with plotly: pip install 'zooaudit[plot]'", file=sys.stderr)
            return False
    return True


def _draw(make: Callable[[], Figure], args: argparse.Namespace) -> bool:
    """Writes the figure where it is wanted."""
    files = [file for file in (args.html, args.png) if file]
    if files:
        try:
            figures.save(make(), args.html, args.png)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return False
        print(f"Figure written to {' and '.join(map(str, files))}", file=sys.stderr)
    return True


def replay(client: "AuditClient", args: argparse.Namespace) -> Exit:
    try:
        before = Report.model_validate_json(args.file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        why = str(error)
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False)[0]
            why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
        print(f"{args.file} is not a report: {printable(why)}.", file=sys.stderr)
        return Exit.USAGE
    after = _wait(client, client.repeat(before), args)
    verdict = compare_reports(before, after)
    if args.json:
        print(json.dumps({"id": after.id, **asdict(verdict)}, indent=2, default=str))
    else:
        print(printable(str(verdict)))
        for item in verdict.circumstances:
            print(printable(str(item)))
        print(f"The second report: zooaudit report {after.id}", file=sys.stderr)
    return Exit.OK if verdict.equal else Exit.DIFFERENT


def _wait(client: "AuditClient", accepted: Audit, args: argparse.Namespace) -> Report:
    try:
        return AuditHandle(client, accepted).wait(args.timeout)
    except KeyboardInterrupt:
        raise Interrupted(accepted) from None


def _show_report(found: Report, args: argparse.Namespace) -> Exit:
    if args.output:
        args.output.write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if args.json:
        _print_json(found)
    else:
        report_text(found, sys.stdout)
        if args.output:
            print(f"Report written to {args.output}", file=sys.stderr)
    return Exit.OK


def status(client: "AuditClient", args: argparse.Namespace) -> Exit:
    found = client.status(args.id)
    if args.json:
        _print_json(found)
    else:
        print(f"{printable(found.request.model)} ({found.request.weights}): {printable(state(found))}")
        if found.error:
            print(printable(sentence(found.error)))
    return _exit_of(found)


def cancel(client: "AuditClient", args: argparse.Namespace) -> Exit:
    found = client.cancel(args.id)
    if args.json:
        _print_json(found)
    else:
        stopping = found.status is Status.RUNNING  # its worker has been told
        print(f"Audit {found.id}: {'stops within seconds' if stopping else printable(state(found))}")
    return Exit.OK


def audits(client: "AuditClient", args: argparse.Namespace) -> Exit:
    found = list(client.audits(status=args.status, model=args.model, sort=args.sort, limit=args.limit))
    if args.json:
        _print_json(found)
    elif found:
        draw([audits_table(found)], sys.stdout)
    else:
        print("No audits.", file=sys.stderr)
    return Exit.OK


def compare(client: "AuditClient", args: argparse.Namespace) -> Exit:
    if not _can_draw(args):
        return Exit.USAGE
    try:
        top1 = read_top1(args.top1) if args.top1 else None
        ids = select(client, args.audits, args.weights, args.dataset, args.num_images)
    except ValueError as error:
        print(printable(str(error)), file=sys.stderr)
        return Exit.USAGE
    found = client.compare(ids, top1)
    if args.json:
        _print_json(found)
    else:
        draw(comparison_tables(found, args.score), sys.stdout)

    def figure() -> Figure:
        if args.figure == "accuracy":
            return figures.accuracy(found)
        if args.figure == "parts":
            return figures.parts(found.audits)
        return figures.of(args.figure, [client.report(audit.id) for audit in found.audits], args.score)

    return Exit.OK if _draw(figure, args) else Exit.USAGE


def models(client: "AuditClient", args: argparse.Namespace) -> Exit:
    found = client.models(args.query, family=args.family, source=args.source, limit=args.limit)
    if args.json:
        _print_json(found)
        return Exit.OK
    if found.models:
        draw([models_table(found)], sys.stdout)
    if found.total > len(found.models) or not found.models:
        print(f"{len(found.models)} of {found.total} models that match.", file=sys.stderr)
    return Exit.OK


def model(client: "AuditClient", args: argparse.Namespace) -> Exit:
    with waiting(f"A worker finds the blocks of {printable(args.name)}, unless that has been done"):
        found = client.model(args.name, args.timeout)
    if args.json:
        _print_json(found)
    else:
        draw(model_tables(found), sys.stdout)
    return Exit.OK


def health(client: "AuditClient", args: argparse.Namespace) -> Exit:
    found = client.health()
    if args.json:
        _print_json(found)
    else:
        print(
            f"{client.base_url}: {found.status}, version {printable(found.version)}, "
            f"Redis {'answers' if found.redis else 'does not answer'}, "
            f"{found.workers} {'worker' if found.workers == 1 else 'workers'}, "
            f"{found.running} running, {found.queued} queued"
        )
        counts = (f"{printable(name)} ({'any number' if n is None else n})" for name, n in found.datasets.items())
        print(f"Data sets: {', '.join(counts)}")
    return Exit.OK if found.status == "ok" else Exit.UNREACHABLE


def completion(shell: str) -> Exit:
    try:
        print(shells.script(shell))
    except ImportError as error:
        print(error, file=sys.stderr)
        return Exit.USAGE
    return Exit.OK


def _exit_of(found: Audit) -> Exit:
    return Exit.AUDIT_FAILED if found.status in (Status.FAILED, Status.CANCELED) else Exit.OK


def _print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    if isinstance(value, BaseModel):
        print(value.model_dump_json(indent=2))
    else:
        print(json.dumps([item.model_dump(mode="json") for item in value], indent=2))


def output_file(text: str) -> Path:
    """A path that can be written, checked before hours of measuring."""
    path = Path(text)
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise argparse.ArgumentTypeError(f"cannot write to {text}: not a file in a folder that exists")
    return path
