"""The commands of the command line, each from parsed arguments to an exit code."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from enum import IntEnum
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ValidationError

from zooaudit.client import AuditClient
from zooaudit.contract import Audit, Report, Status
from zooaudit.display import audits_table, printable, progress, report_text, state, sweep_table, sweeping, table
from zooaudit.errors import AuditCanceled, AuditFailed, sentence
from zooaudit.options import Options
from zooaudit.replay import compare
from zooaudit.sweep import matching
from zooaudit.sweep import sweep as sweep_models


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
    """Ctrl-C while waiting for an audit, which goes on."""

    def __init__(self, audit: Audit) -> None:
        super().__init__(
            f"Stopped waiting; audit {audit.id} goes on.\n"
            f"Take it up again: zooaudit report {audit.id} --wait\nCancel it: zooaudit cancel {audit.id}"
        )


def audit(client: AuditClient, args: argparse.Namespace) -> Exit:
    accepted = client.submit(args.model, **_options(args))
    if args.wait or args.output:
        return _finish(client, accepted, args)
    if args.json:
        _print_json(accepted)
    else:
        print(f"{accepted.id}  {state(accepted)}")
        print(f"Follow it: zooaudit report {accepted.id} --wait", file=sys.stderr)
    return _exit_of(accepted)


def sweep(client: AuditClient, args: argparse.Namespace) -> Exit:
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
        sweep_table(reports, sys.stdout)
        for model, found in outcomes.items():
            if model not in reports:
                why = found if not isinstance(found, Audit) else found.error
                print(f"{printable(model)}: {printable(sentence(why)) if why else 'canceled'}")
    return Exit.OK if len(reports) == len(outcomes) else Exit.AUDIT_FAILED


def _options(args: argparse.Namespace) -> Options:
    """What was said of the audit: only that is sent."""
    return {key: value for key, value in vars(args).items() if key in Options.__annotations__ and value is not None}  # type: ignore[return-value]


def report(client: AuditClient, args: argparse.Namespace) -> Exit:
    if args.wait:
        return _finish(client, client.status(args.id), args)
    return _show_report(client.report(args.id), args)


def replay(client: AuditClient, args: argparse.Namespace) -> Exit:
    try:
        before = Report.model_validate_json(args.file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        print(f"{args.file} is not a report: {printable(str(error))[:500]}", file=sys.stderr)
        return Exit.USAGE
    accepted = client.repeat(before)
    ended = _ended(client, accepted, args)
    verdict = compare(before, client.report(ended.id))
    if args.json:
        print(json.dumps({"id": ended.id, **asdict(verdict)}, indent=2, default=str))
    else:
        print(printable(str(verdict)))
        for item in verdict.circumstances:
            print(printable(str(item)))
        print(f"The second report: zooaudit report {ended.id}", file=sys.stderr)
    return Exit.OK if verdict.equal else Exit.DIFFERENT


def _finish(client: AuditClient, accepted: Audit, args: argparse.Namespace) -> Exit:
    return _show_report(client.report(_ended(client, accepted, args).id), args)


def _ended(client: AuditClient, accepted: Audit, args: argparse.Namespace) -> Audit:
    """The audit when it has succeeded; AuditFailed or AuditCanceled when it has not."""
    try:
        with progress() as show:
            show(accepted)
            ended = client.wait(accepted.id, args.timeout, on_progress=show)
    except KeyboardInterrupt:
        raise Interrupted(accepted) from None
    if ended.status is Status.FAILED:
        raise AuditFailed(ended)
    if ended.status is Status.CANCELED:
        raise AuditCanceled(ended)
    return ended


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


def status(client: AuditClient, args: argparse.Namespace) -> Exit:
    found = client.status(args.id)
    if args.json:
        _print_json(found)
    else:
        print(f"{printable(found.request.model)} ({found.request.weights}): {printable(state(found))}")
        if found.error:
            print(printable(sentence(found.error)))
    return _exit_of(found)


def cancel(client: AuditClient, args: argparse.Namespace) -> Exit:
    found = client.cancel(args.id)
    if args.json:
        _print_json(found)
    else:
        stopping = found.status is Status.RUNNING  # its worker has been told
        print(f"Audit {found.id}: {'stops within seconds' if stopping else printable(state(found))}")
    return Exit.OK


def audits(client: AuditClient, args: argparse.Namespace) -> Exit:
    found = list(islice(client.audits(status=args.status, model=args.model, limit=args.limit), args.limit))
    if args.json:
        _print_json(found)
    elif found:
        audits_table(found, sys.stdout)
    else:
        print("No audits.", file=sys.stderr)
    return Exit.OK


def models(client: AuditClient, args: argparse.Namespace) -> Exit:
    found = client.models(args.query, family=args.family, source=args.source)
    if args.json:
        _print_json(found)
        return Exit.OK
    rows = [
        [
            printable(entry.name),
            entry.family,
            str(entry.input_size or "–"),
            _answer(entry.pretrained),
            _answer(entry.supported),
        ]
        for entry in found.models
    ]
    if rows:
        table(("Model", "Family", "Input side", "Pretrained", "Supported"), rows, sys.stdout)
    if found.total > len(rows) or not rows:
        print(f"{len(rows)} of {found.total} models that match.", file=sys.stderr)
    return Exit.OK


def health(client: AuditClient, args: argparse.Namespace) -> Exit:
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


def _exit_of(found: Audit) -> Exit:
    return Exit.AUDIT_FAILED if found.status in (Status.FAILED, Status.CANCELED) else Exit.OK


def _answer(value: bool) -> str:
    return "yes" if value else "no"


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
