"""The commands that keep audits: label, archive and delete them, and tell who did what and what a key may do."""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, get_args

from zooaudit.cli import completion
from zooaudit.cli.exit_codes import Exit, Mistake
from zooaudit.contract import Access, Action, Allowance
from zooaudit.errors import ZooauditError
from zooaudit.results import Audit
from zooaudit.views.audit_tables import audit_table, log_table
from zooaudit.views.terminal import print_tables
from zooaudit.views.text import counted, printable

if TYPE_CHECKING:
    from zooaudit.client import AuditClient

AddCommand = Callable[..., argparse.ArgumentParser]
"""Adds a command by its name, its function and what it does in a few words, and returns its parser."""


def add_commands(add: AddCommand) -> None:
    """Add the commands to the command line."""
    parser = add("label", label, "add labels to an audit or remove them, and write a note on it")
    _id_argument(parser, "audit")
    text = "labels to add: letters, digits and . : / + - _"
    parser.add_argument("labels", nargs="*", metavar="LABEL", help=text)
    parser.add_argument("--remove", action="append", default=[], metavar="LABEL", help="remove this label")
    parser.add_argument("--note", metavar="TEXT", help="write this note instead of the present one; '' removes it")

    parser = add("archive", archive, "leave audits out of lists; their reports stay")
    _id_argument(parser, "audits", nargs="+")
    parser.add_argument("--undo", action="store_true", help="list them again")

    parser = add("delete", delete, "delete audits with their reports, labels and notes, for ever")
    _id_argument(parser, "audits", nargs="+")

    parser = add("log", log, "show who did what to which audit, newest first")
    parser.add_argument("--since", type=_time, metavar="TIME", help="such as 2026-11-27 or 2026-11-27T08:30, in UTC")
    parser.add_argument("--action", choices=get_args(Action))
    parser.add_argument("--audit", metavar="ID", help="only what was done to this audit; a deleted one by its whole id")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="at most this many (default 50)")

    add("key", key, "show the name and the role of the key that is sent, and what it has used")


def label(client: "AuditClient", args: argparse.Namespace) -> Exit:
    audit = client.status(args.audit)
    if args.labels or args.remove or args.note is not None:
        if missing := [label for label in args.remove if label not in audit.labels]:
            raise Mistake(f"Audit {audit.id} has no label {printable(' and no label '.join(missing))}.")
        labels = [label for label in dict.fromkeys((*audit.labels, *args.labels)) if label not in args.remove]
        changes = labels if args.labels or args.remove else None
        audit = client.annotate(audit.id, labels=changes, note=args.note)
    if args.json:
        print(audit.model_dump_json(indent=2))
    else:
        print_tables([audit_table(audit)], sys.stdout)
    return Exit.OK


def archive(client: "AuditClient", args: argparse.Namespace) -> Exit:
    def change(identifier: str) -> Audit:
        return client.annotate(identifier, archived=not args.undo)

    return _each(args, change, "listed again" if args.undo else "archived")


def delete(client: "AuditClient", args: argparse.Namespace) -> Exit:
    return _each(args, client.delete, "deleted")


def _each(args: argparse.Namespace, do: Callable[[str], Audit], done: str) -> Exit:
    """Do something to each of the audits, and tell which are done even if one cannot be."""
    audits: list[Audit] = []
    try:
        for identifier in args.audits:
            audits.append(do(identifier))
            if not args.json:
                print(f"Audit {audits[-1].id} of {printable(audits[-1].request.model)}: {done}")
    except ZooauditError:
        if len(args.audits) > 1:
            left = args.audits[len(audits) :]
            print(f"{counted(len(left), 'audit')} not {done}: {printable(' '.join(left))}", file=sys.stderr)
        raise
    finally:
        if args.json:
            print(json.dumps([audit.model_dump(mode="json") for audit in audits], indent=2))
    return Exit.OK


def log(client: "AuditClient", args: argparse.Namespace) -> Exit:
    if args.limit < 1:
        raise Mistake("--limit must be above 0.")
    entries = list(client.log(since=args.since, action=args.action, audit=args.audit, limit=args.limit))
    if args.json:
        print(json.dumps([entry.model_dump(mode="json") for entry in entries], indent=2))
    elif entries:
        print_tables([log_table(entries)], sys.stdout)
    else:
        print("No entries.", file=sys.stderr)
    return Exit.OK


def key(client: "AuditClient", args: argparse.Namespace) -> Exit:
    access = client.access()
    print(access.model_dump_json(indent=2) if args.json else _in_words(access))
    return Exit.OK


def _in_words(access: Access) -> str:
    def used(allowance: Allowance, noun: str) -> str:
        limit = "" if allowance.limit is None else f" of {allowance.limit:,}"
        return f"{allowance.used:,}{limit} {noun}"

    audits = used(access.unfinished_audits, "unfinished audits")
    images = used(access.images_in_24_h, "forward images in 24 hours")
    return f"{printable(access.name)} ({access.role}): {audits}, {images}"


def _id_argument(parser: argparse.ArgumentParser, name: str, **options: str) -> None:
    text = "the audit's id, or how it starts"
    added = parser.add_argument(name, metavar="ID", help=text, **options)  # type: ignore[arg-type]
    added.completer = completion.audits  # type: ignore[attr-defined]  # where argcomplete looks for it


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-11-27 or 2026-11-27T08:30") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
