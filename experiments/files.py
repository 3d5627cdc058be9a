"""Files that appear whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(file: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` write another file, and put it in place of ``file``, whose folder is made if need be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{os.getpid()}")
    write(new)
    new.replace(file)


def write_text(file: Path, text: str) -> None:
    """Write text, and the end of its last line."""
    write_whole(file, lambda path: path.write_text(f"{text}\n", "utf-8"))
