"""The command line: ``zooaudit COMMAND ...``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zooaudit.cli.parser import make_parser

__all__ = ["main", "make_parser"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line, and return its exit code."""
    try:
        from zooaudit.cli.entry import run  # takes so long that Ctrl-C may come meanwhile

        return run(argv)
    except KeyboardInterrupt:
        return 130


def __getattr__(name: str) -> Any:
    if name == "make_parser":
        from zooaudit.cli.parser import make_parser

        return make_parser
    raise AttributeError(f"module 'zooaudit.cli' has no attribute {name!r}")
