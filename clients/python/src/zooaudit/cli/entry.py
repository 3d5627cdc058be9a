"""Runs one command line, and turns every error into one sentence and an exit code."""

import io
import os
import sys
from collections.abc import Callable, Sequence

from zooaudit.cli import commands, completion
from zooaudit.cli.exit_codes import Exit, Mistake, exit_of_error
from zooaudit.cli.parser import make_parser
from zooaudit.contract import problem
from zooaudit.errors import ConnectionFailed, NotFound, Unauthorized, ZooauditError
from zooaudit.views.text import full_stop, printable

NO_SUCH_PATH = problem("not-found", "").type


def run(argv: Sequence[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode shows ? for a dash
    code = reporting_errors(lambda: _run(argv))
    try:
        sys.stdout.flush()
    except OSError as error:
        # What was not written would be written again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            return _fail(_system_text(error), Exit.USAGE)
    return code


def reporting_errors(command: Callable[[], int]) -> int:
    """Run a command, and return its exit code; write an error to standard error as a sentence."""
    try:
        return command()
    except SystemExit as ended:  # argparse has said what is wrong
        return int(ended.code or 0)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except commands.WaitInterrupted as interrupted:
        return _fail(str(interrupted), Exit.INTERRUPTED)
    except Mistake as mistake:
        return _fail(str(mistake), Exit.USAGE)
    except ZooauditError as error:
        return _fail(str(error) + _hint(error), exit_of_error(error))
    except BrokenPipeError:  # the reader of our output, such as `head`, has had enough
        return Exit.OK
    except OSError as error:  # of a file that cannot be written
        return _fail(_system_text(error), Exit.USAGE)


def _run(argv: Sequence[str] | None) -> int:
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
        raise Mistake(full_stop(str(error))) from None
    with client:
        return int(args.run(client, args))


def _system_text(error: OSError) -> str:
    where = f"{error.filename} cannot be written" if error.filename else "The output cannot be written"
    return f"{where}: {error.strerror or error}."


def _hint(error: ZooauditError) -> str:
    match error:
        case ConnectionFailed():
            return " Is the service running there? --url or ZOOAUDIT_URL say where it is."
        case NotFound() if error.problem.type == NO_SUCH_PATH:
            return " --url or ZOOAUDIT_URL say where the service is."
        case Unauthorized() if error.problem.status == 401:
            if os.environ.get("ZOOAUDIT_API_KEY"):
                return " The service does not know the key in ZOOAUDIT_API_KEY, which was sent."
            return " Put yours into ZOOAUDIT_API_KEY, which is sent as the key."
    return ""


def _fail(message: str, code: Exit) -> Exit:
    for line in message.splitlines():
        print(printable(line), file=sys.stderr)
    return code
