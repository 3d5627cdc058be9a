"""The command ``zooaudit terms``: what the words of a report mean. It asks no service."""

import argparse
import difflib
import sys

from zooaudit.cli.exit_codes import Exit, Mistake
from zooaudit.contract import TERMS, Terms, find_term
from zooaudit.views.tables import Table
from zooaudit.views.terminal import print_tables


def terms(_client: object, args: argparse.Namespace) -> Exit:
    """Print the meaning of the term that ``args`` has, or of all of them."""
    found = find_term(args.term) if args.term else None
    if args.term and found is None:
        near = difflib.get_close_matches(args.term.lower(), [term.word for term in TERMS.values()])
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise Mistake(f"There is no term {args.term!r}.{hint} zooaudit terms lists all of them.")
    shown = {found: TERMS[found]} if found else TERMS
    if args.json:
        print(Terms(terms=shown).model_dump_json(indent=2))
    else:
        print_tables([Table((), (), term.word, notes=[term.meaning]) for term in shown.values()], sys.stdout)
        print("More: the service's page /method, or docs/method.md", file=sys.stderr)
    return Exit.OK
