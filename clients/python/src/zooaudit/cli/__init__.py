"""The command line: ``zooaudit COMMAND ...``."""

from zooaudit.cli.entry import main
from zooaudit.cli.parser import make_parser

__all__ = ["main", "make_parser"]
