"""The command line: ``zooaudit COMMAND ...``."""

from zooaudit.cli.parser import main, make_parser

__all__ = ["main", "make_parser"]
