"""The folder in which a local stack keeps its data: one stack uses it at a time, with one report store."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zooaudit.contract.settings import is_folder


class SettingsRefused(RuntimeError):
    """The stack cannot run as it is configured; the message names the setting."""


@contextmanager
def locked(directory: Path, choose: str) -> Iterator[None]:
    """Keep other stacks out of the folder. The kernel ends this with the process, however that ends.

    ``choose`` says how to give a stack another folder, in the message of the SettingsRefused that this raises.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / "stack.lock").open("a+")
    except OSError as error:
        raise SettingsRefused(
            f"{directory} cannot hold the stack's data ({error.strerror}); give another folder with {choose}"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise SettingsRefused(
                f"{directory} is in use by another stack, process {file.read().strip()}; "
                f"stop that one, or give another folder with {choose}"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def note_store(note: Path, store: str) -> None:
    """Write down where the reports of the queue's audits are, and tell when they were elsewhere the last time."""
    place = str(Path(store).expanduser().absolute()) if is_folder(store) else store
    before = note.read_text().strip() if note.exists() else place
    if before != place:
        print(
            f"ZOOAUDIT_STORE: the audits in {note.parent.parent} have their reports in {before} so far, not in "
            f"{place}; set it back to see them, or keep the two apart with --directory",
            file=sys.stderr,
            flush=True,
        )
    note.write_text(f"{place}\n")
