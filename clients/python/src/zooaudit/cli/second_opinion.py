"""``zooaudit second-opinion``: whether measures agree, over the blocks of one audit or over the models of several."""

import argparse
import sys
import warnings
from typing import TYPE_CHECKING

from zooaudit.cli.commands import _print_json, _require_plotly, _save_figures
from zooaudit.cli.exit_codes import Exit, Mistake
from zooaudit.cli.selection import read_top1, select
from zooaudit.views import figures
from zooaudit.views.measure_tables import measure_tables
from zooaudit.views.terminal import print_tables
from zooaudit.views.text import printable

if TYPE_CHECKING:
    from zooaudit.client import AuditClient


def run(client: "AuditClient", args: argparse.Namespace) -> Exit:
    _require_plotly(args)
    top1 = read_top1(args.top1) if args.top1 else None
    audits = select(client, args.audits, args.weights, args.dataset, args.num_images, args.seed)
    if top1 is not None and len(audits) == 1:
        raise Mistake("--top1 is compared over several models; this is one audit.")
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        agreement = client.second_opinion(audits[0] if len(audits) == 1 else audits, top1)
    for notice in notices:
        print(printable(str(notice.message)), file=sys.stderr)
    if args.json:
        _print_json(agreement)
    else:
        print_tables(measure_tables(agreement), sys.stdout)
    _save_figures(lambda _: figures.measures(agreement), (), args)
    return Exit.OK
