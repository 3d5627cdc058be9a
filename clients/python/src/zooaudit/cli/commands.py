"""The commands of the command line, each from parsed arguments to an exit code."""

import argparse
import functools
import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from zooaudit.cli import completion as shell_completion
from zooaudit.cli.exit_codes import Exit, Mistake
from zooaudit.cli.replay import compare as compare_reports
from zooaudit.cli.saved import is_file, report_of
from zooaudit.cli.selection import read_top1, select
from zooaudit.cli.sweep import by_cause, matching
from zooaudit.cli.sweep import sweep as sweep_models
from zooaudit.contract import Problem, Status
from zooaudit.errors import ApiError, ConnectionFailed, Unavailable
from zooaudit.handle import AuditHandle
from zooaudit.options import Options
from zooaudit.results import Audit, Report
from zooaudit.views import figures
from zooaudit.views.audit_tables import audits_table
from zooaudit.views.comparison_tables import comparison_tables
from zooaudit.views.model_tables import model_tables, models_table
from zooaudit.views.report_tables import sweep_tables
from zooaudit.views.shard_table import shard_table
from zooaudit.views.terminal import print_report, print_tables, spinner, sweep_counts, sweep_progress
from zooaudit.views.text import counted, printable, sentence, state

if TYPE_CHECKING:
    from zooaudit.client import AuditClient


ALL = "all"
"""The name that --figure takes for all figures."""
CANCELED = Problem(type="about:blank", title="Canceled", status=409, detail="The audit was canceled.")
SWEEP_GOES_ON = "the audits go on. The same command takes the sweep up again."


class WaitInterrupted(Exception):
    """Ctrl-C while waiting for an audit, which goes on. The message says how to resume the wait or cancel the audit."""

    def __init__(self, audit: Audit) -> None:
        super().__init__(f"Take it up again: zooaudit report {audit.id} --wait\nCancel it: zooaudit cancel {audit.id}")


def audit(client: "AuditClient", args: argparse.Namespace) -> Exit:
    if args.dry_run:
        return _show_cost(client, args)
    accepted = client.submit(args.model, **_options(args))
    if args.wait or args.output:
        return _show_report(_wait(client, accepted, args), args)
    if args.json:
        _print_json(accepted)
    else:
        print(f"{accepted.id}  {state(accepted)}")
        print(f"Follow it: zooaudit report {accepted.id} --wait", file=sys.stderr)
    return _exit_of_audit(accepted)


def _show_cost(client: "AuditClient", args: argparse.Namespace) -> Exit:
    if args.wait or args.output or args.timeout is not None:
        raise Mistake(
            "--dry-run asks for no audit, so there is none to wait for: leave out --wait, --output, --timeout."
        )
    cost = client.cost(args.model, **_options(args))
    if args.json:
        _print_json(cost)
    else:
        print(cost)
    return Exit.OK


def sweep(client: "AuditClient", args: argparse.Namespace) -> Exit:
    names, left_out = matching(client, args.pattern, args.weights or "pretrained")
    for reason, models in left_out.items():
        print(printable(f"Left out: {', '.join(models)} ({reason})."), file=sys.stderr)
    if not names:
        raise Mistake(f"No model that can be audited matches {args.pattern}.")
    try:
        with sweep_progress(len(names)) as show:
            entries = sweep_models(client, names, _options(args), show)
    except KeyboardInterrupt:
        print(f"Stopped waiting; {SWEEP_GOES_ON}", file=sys.stderr)
        return Exit.INTERRUPTED
    except (ConnectionFailed, Unavailable):
        print(SWEEP_GOES_ON[0].upper() + SWEEP_GOES_ON[1:], file=sys.stderr)
        raise
    reports, problems = _reports_of(client, entries)
    if args.json:
        print(json.dumps({model: entry.model_dump(mode="json") for model, entry in entries.items()}, indent=2))
    else:
        print_tables(sweep_tables(reports) if reports else [], sys.stdout)
        for models, problem in by_cause(problems):
            first, *others = models
            print(printable(f"{first}: {sentence(problem)}"))
            if others:
                print(printable(f"The same holds for {counted(len(others), 'other')}: {', '.join(others)}"))
    if len(entries) < len(names):
        text = f"The service refused the first {len(entries)} for one cause; the others were not asked for."
        print(text, file=sys.stderr)
    print(_sweep_summary(names, entries, left_out), file=sys.stderr)
    return Exit.OK if len(reports) == len(names) else Exit.AUDIT_FAILED


def _reports_of(
    client: "AuditClient", entries: Mapping[str, Audit | Problem]
) -> tuple[dict[str, Report], dict[str, Problem]]:
    """Fetch the report of each model of a sweep, or tell why it has none."""
    reports: dict[str, Report] = {}
    problems: dict[str, Problem] = {}
    for model, entry in entries.items():
        if isinstance(entry, Problem):
            problems[model] = entry
        elif entry.status is not Status.SUCCEEDED:
            problems[model] = entry.error or Problem(
                type="about:blank", title="Canceled", status=409, detail="The audit was canceled."
            )
        else:
            try:
                reports[model] = client.report(entry.id)
            except ApiError as error:  # such as a report that the store has lost
                problems[model] = error.problem
    return reports, problems


def _sweep_summary(
    names: Sequence[str], entries: Mapping[str, Audit | Problem], left_out: Mapping[str, Sequence[str]]
) -> str:
    """Sum a sweep up in a line: "5 models: 3 succeeded, 1 failed, 1 not asked for; 2 left out."."""
    counts = [sweep_counts(entries)] + (
        [f"{len(names) - len(entries)} not asked for"] if len(entries) < len(names) else []
    )
    skipped = sum(map(len, left_out.values()))
    return f"{counted(len(names), 'model')}: {', '.join(counts)}" + (f"; {skipped} left out." if skipped else ".")


def _options(args: argparse.Namespace) -> Options:
    """Take the options of an audit from ``args``: only those that were given are sent."""
    return {key: value for key, value in vars(args).items() if key in Options.__annotations__ and value is not None}  # type: ignore[return-value]


def report(client: "AuditClient", args: argparse.Namespace) -> Exit:
    _require_plotly(args)
    waits = args.wait and not is_file(args.audit)
    report = _wait(client, client.status(args.audit), args) if waits else report_of(client, args.audit)
    code = _show_report(report, args)
    _save_figures(lambda name: figures.of(name, [report]), figures.shown([report.method]), args)
    return code


def _show_report(report: Report, args: argparse.Namespace) -> Exit:
    if args.output:
        args.output.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if args.json:
        _print_json(report)
    else:
        print_report(report, sys.stdout)
        if args.output:
            print(f"Report written to {args.output}", file=sys.stderr)
    return Exit.OK


def _require_plotly(args: argparse.Namespace) -> None:
    """Check before hours of waiting that plotly is installed if a figure is to be written, and that it can be."""
    if args.png and args.figure == ALL:
        raise Mistake("A PNG has one figure: name it by --figure, or write all of them by --html.")
    if args.html or args.png:
        try:
            import plotly  # noqa: F401
        except ImportError:
            raise Mistake("Figures are drawn with plotly: pip install 'zooaudit[plot]'") from None


def _save_figures(make: Callable[[str], figures.FigureDict], names: Sequence[str], args: argparse.Namespace) -> None:
    """Write the figure of --figure, or those of all ``names``, to the files of --html and --png; ``make`` is called
    only if there are any."""
    files = [file for file in (args.html, args.png) if file]
    if files:
        try:
            if args.figure == ALL:
                figures.save_page([make(name) for name in names], args.html)
            else:
                figures.save(make(args.figure), args.html, args.png)
        except RuntimeError as error:
            raise Mistake(str(error)) from None
        what = "Figures" if args.figure == ALL else "Figure"
        print(f"{what} written to {' and '.join(map(str, files))}", file=sys.stderr)


def replay(client: "AuditClient", args: argparse.Namespace) -> Exit:
    before = report_of(client, args.audit)
    try:
        accepted = client.repeat(before)
    except ValueError as error:
        raise Mistake(f"{error}.") from None
    after = _wait(client, accepted, args)
    verdict = compare_reports(before, after)
    if args.json:
        print(json.dumps({"id": after.id, **asdict(verdict)}, indent=2, default=str))
    else:
        print(printable(str(verdict)))
        for difference in verdict.circumstances:
            print(printable(str(difference)))
        print(f"The second report: zooaudit report {after.id}", file=sys.stderr)
    return Exit.OK if verdict.equal else Exit.DIFFERENT


def _wait(client: "AuditClient", accepted: Audit, args: argparse.Namespace) -> Report:
    try:
        return AuditHandle(client, accepted).wait(args.timeout)
    except KeyboardInterrupt:
        raise WaitInterrupted(accepted) from None


def status(client: "AuditClient", args: argparse.Namespace) -> Exit:
    audit = client.status(args.audit)
    if args.json:
        _print_json(audit)
    else:
        print(f"{printable(audit.request.model)} ({audit.request.weights}): {printable(state(audit))}")
        if audit.error:
            print(printable(sentence(audit.error)))
        if audit.imported:
            when, who = f"{audit.imported.at:%Y-%m-%d}", printable(audit.imported.who)
            print(f"Its report was measured elsewhere and imported on {when} by {who}.")
        if audit.labels or audit.archived:
            print(f"Labels: {printable(', '.join((*audit.labels, *(['(archived)'] if audit.archived else []))))}")
        for line in audit.note.splitlines():
            print(f"> {printable(line)}")
        if audit.sharing:
            print_tables([shard_table(audit.sharing)], sys.stdout)
    return _exit_of_audit(audit)


def cancel(client: "AuditClient", args: argparse.Namespace) -> Exit:
    audit = client.cancel(args.audit)
    if args.json:
        _print_json(audit)
    else:
        is_stopping = audit.status is Status.RUNNING  # its worker still has to stop it
        print(f"Audit {audit.id}: {'stops within seconds' if is_stopping else printable(state(audit))}")
    return Exit.OK


def audits(client: "AuditClient", args: argparse.Namespace) -> Exit:
    filters = {"status": args.status, "model": args.model, "label": args.label, "archived": args.archived}
    listed = list(client.audits(**filters, sort=args.sort, limit=args.limit))
    if args.json:
        _print_json(listed)
    elif listed:
        print_tables([audits_table(listed)], sys.stdout)
    else:
        print("No audits.", file=sys.stderr)
    return Exit.OK


def compare(client: "AuditClient", args: argparse.Namespace) -> Exit:
    _require_plotly(args)
    top1 = read_top1(args.top1) if args.top1 else None
    restrictions = args.weights, args.dataset, args.num_images, args.seed
    identifiers = select(client, args.audits, *restrictions)
    reference = None
    if args.reference:
        reference, *others = select(client, [args.reference], *restrictions)
        if others:
            raise Mistake(f"--reference names {1 + len(others)} audits; name one.")
        identifiers = list(dict.fromkeys([*identifiers, reference]))
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        comparison = client.compare(identifiers, top1, reference)
    for notice in notices:
        print(printable(str(notice.message)), file=sys.stderr)
    if args.json:
        _print_json(comparison)
    else:
        print_tables(comparison_tables(comparison, args.score), sys.stdout)

    @functools.cache
    def reports() -> list[Report]:
        return [client.report(audit.id) for audit in comparison.audits]

    def figure(name: str) -> figures.FigureDict:
        if name == "accuracy":
            return figures.accuracy(comparison)
        if name == "parts":
            return figures.parts(comparison.audits)
        return figures.of(name, reports(), args.score)

    _save_figures(figure, (*figures.shown([comparison.method]), "accuracy"), args)
    return Exit.OK


def models(client: "AuditClient", args: argparse.Namespace) -> Exit:
    listed = client.models(args.query, family=args.family, source=args.source, limit=args.limit)
    if args.json:
        _print_json(listed)
        return Exit.OK
    if listed.models:
        print_tables([models_table(listed)], sys.stdout)
    if listed.total > len(listed.models) or not listed.models:
        verb = "matches" if listed.total == 1 else "match"
        print(f"{len(listed.models)} of {counted(listed.total, 'model')} that {verb}.", file=sys.stderr)
    return Exit.OK


def model(client: "AuditClient", args: argparse.Namespace) -> Exit:
    with spinner(f"A worker finds the blocks of {printable(args.name)}, unless that has been done"):
        detail = client.model(args.name, args.timeout)
    if args.json:
        _print_json(detail)
    else:
        print_tables(model_tables(detail), sys.stdout)
    return Exit.OK


def health(client: "AuditClient", args: argparse.Namespace) -> Exit:
    health = client.health()
    if args.json:
        _print_json(health)
    else:
        devices = f" ({printable(', '.join(health.devices))})" if health.devices else ""
        print(
            f"{client.base_url}: {health.status}, version {printable(health.version)}, "
            f"Redis {'answers' if health.redis else 'does not answer'}, "
            f"{counted(health.workers, 'worker')}{devices}, "
            f"{health.running} running, {health.queued} queued"
        )
        counts = (f"{printable(name)} ({'any number' if n is None else n})" for name, n in health.datasets.items())
        print(f"Data sets: {', '.join(counts)}")
    return Exit.OK if health.status == "ok" else Exit.UNREACHABLE


def completion(shell: str) -> Exit:
    try:
        print(shell_completion.script(shell))
    except ImportError as error:
        raise Mistake(str(error)) from None
    return Exit.OK


def _exit_of_audit(audit: Audit) -> Exit:
    return Exit.AUDIT_FAILED if audit.status in (Status.FAILED, Status.CANCELED) else Exit.OK


def _print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    if isinstance(value, BaseModel):
        print(value.model_dump_json(indent=2))
    else:
        print(json.dumps([item.model_dump(mode="json") for item in value], indent=2))


def output_file(text: str) -> Path:
    """Parse the path of a file to write, and check before hours of measuring that it can be written."""
    path = Path(text)
    if path.is_dir():
        why = "it is a folder"
    elif not path.resolve().parent.is_dir():
        why = "its folder does not exist"
    elif not os.access(path if path.exists() else path.resolve().parent, os.W_OK):
        why = "permission denied"
    else:
        return path
    raise argparse.ArgumentTypeError(f"cannot write to {text}: {why}")
