"""``zooaudit export AUDIT --to TOOL``: a report for another tool, or as a page that needs nothing else."""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zooaudit.cli import completion
from zooaudit.cli.exit_codes import Exit, Mistake
from zooaudit.cli.saved import report_of
from zooaudit.exports import mlflow_run, model_card, wandb_run
from zooaudit.results import Report
from zooaudit.site import report_page
from zooaudit.views.text import printable

if TYPE_CHECKING:
    from zooaudit.client import AuditClient

DESTINATION = {
    "html": "report.html",
    "huggingface": ".",
    "mlflow": "",
    "wandb": ".",
}
"""Where each form is written unless --output says otherwise; MLflow has its own setting."""
OPTIONS_OF = {"benchmark": ["huggingface"], "source": ["huggingface"], "tracking_uri": ["mlflow"]}
"""Which form an option belongs to."""

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def add(subparsers: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    text = (
        "write a report as one HTML page, as evaluation results of a Hugging Face model card, or as a run of a tracker"
    )
    parser = command(subparsers, "export", export, text)
    what = "an audit's id, or how it starts; or a report's file, as --output writes it"
    audit = parser.add_argument("audit", metavar="AUDIT", help=what)
    audit.completer = completion.audits_and_files  # type: ignore[attr-defined]
    parser.add_argument("--to", choices=list(DESTINATION), required=True, help="the form")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="the file of html (default report.html); the folder of huggingface, such as a clone of the model's "
        "repository, or of wandb (default .)",
    )
    parser.add_argument(
        "--benchmark",
        metavar="ORG/NAME",
        help="with huggingface: the hub's data set with the benchmark, for .eval_results/zooaudit.yaml",
    )
    parser.add_argument("--source", metavar="URL", help="with huggingface: the address of the report")
    parser.add_argument("--tracking-uri", metavar="URI", help="with mlflow (default MLFLOW_TRACKING_URI)")
    parser.add_argument("--project", default="zooaudit", help="the experiment of mlflow or project of wandb (zooaudit)")


def export(client: "AuditClient", args: argparse.Namespace) -> Exit:
    """Write the report in the form that --to names."""
    for name, forms in OPTIONS_OF.items():
        if getattr(args, name) and args.to not in forms:
            raise Mistake(f"--{name.replace('_', '-')} goes with --to {forms[0]}.")
    if args.to == "mlflow" and args.output:
        raise Mistake("--to mlflow writes to --tracking-uri, or where MLFLOW_TRACKING_URI says: leave out --output.")
    if args.benchmark and not HUB_NAME.fullmatch(args.benchmark):
        raise Mistake(f"--benchmark {args.benchmark} is no data set of the hub: give it as ORG/NAME.")
    report = report_of(client, args.audit)
    try:
        places = _write(report, args)
    except (ImportError, RuntimeError) as error:
        raise Mistake(str(error)) from None
    if args.json:
        print(json.dumps({"audit": report.id, "to": args.to, "places": places}, indent=2))
        return Exit.OK
    for place in places:
        print(printable(place))
    if args.to == "huggingface":
        if not args.benchmark:
            text = "No .eval_results: --benchmark names the hub's data set in whose leaderboard they would stand."
            print(text, file=sys.stderr)
        print("model-index.yaml belongs into the metadata at the top of the model card, README.md.", file=sys.stderr)
    return Exit.OK


def _write(report: Report, args: argparse.Namespace) -> list[str]:
    """Write the report, and return where it is: files, a folder, an address, or the id of MLflow's run."""
    path = args.output or Path(DESTINATION[args.to])
    match args.to:
        case "html":
            path.write_text(report_page.self_contained(report), encoding="utf-8")
            return [str(path)]
        case "huggingface":
            return [str(file) for file in model_card.write(report, path, args.benchmark, args.source)]
        case "mlflow":
            return [mlflow_run.log_run(report, args.project, args.tracking_uri)]
    return [wandb_run.log_run(report, args.project, path)]
