"""Runs one command line, and turns every error into one sentence and an exit code."""

import os
import sys
from collections.abc import Sequence

from zooaudit.cli import commands, completion
from zooaudit.cli.exit_codes import Exit, exit_of_error
from zooaudit.cli.parser import make_parser
from zooaudit.errors import ConnectionFailed, Unauthorized, ZooauditError
from zooaudit.views.text import printable


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
    except commands.WaitInterrupted as interrupted:
        return _fail(str(interrupted), Exit.INTERRUPTED)
    except ZooauditError as error:
        return _fail(str(error) + _hint(error), exit_of_error(error))
    except BrokenPipeError:  # the reader of our output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except OSError as error:  # of --output
        return _fail(f"{error}.", Exit.USAGE)


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
