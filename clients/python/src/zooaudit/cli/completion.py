"""Completion in the shell, with argcomplete: of commands and options, and of what the service has."""

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from zooaudit.contract import SEARCHED_ZOOS
from zooaudit.errors import ZooauditError
from zooaudit.views.text import short_state, subject

if TYPE_CHECKING:
    from zooaudit.client import AuditClient

SHELLS = ("bash", "zsh", "fish")
ZOOS = tuple(f"{zoo}/" for zoo in SEARCHED_ZOOS)
WEIGHTS = ("pretrained", "untrained", "checkpoint:")
PATIENCE_S = 2.0
"""Seconds to wait for the service: nobody waits longer for a completion."""


def script(shell: str) -> str:
    """Return the code that makes a shell complete ``zooaudit``. Raises ImportError without argcomplete."""
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError:
        raise ImportError(
            "Completion needs argcomplete: pip install 'zooaudit[cli]', or pip install argcomplete"
        ) from None
    # Without the shell's defaults, which offer files wherever nothing else fits.
    return shellcode(["zooaudit"], use_defaults=False, shell=shell)


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions, and end the process."""
    import argcomplete

    # Where nothing is known to complete, a file would be wrong.
    nothing = argcomplete.completers.SuppressCompleter()
    argcomplete.autocomplete(parser, always_complete_options=False, default_completer=nothing)


def models(prefix: str, parsed_args: argparse.Namespace, **_: object) -> Iterable[str]:
    """Complete names of models: full names after a zoo and a slash, else the zoos and timm's bare names."""
    if len(prefix) < 2:
        return ZOOS
    try:
        with _client(parsed_args) as client:
            entries = client.models(prefix, limit=1000).models
    except (ZooauditError, ValueError):
        return []
    names = [
        name
        for entry in entries
        if entry.supported
        for name in (entry.name, *(f"{entry.name}.{tag}" for tag in entry.tags))
    ]
    bare = [*ZOOS, *(name.removeprefix("timm/") for name in names)]
    return [name for name in (names if "/" in prefix else bare) if name.startswith(prefix)]


def audits(prefix: str, parsed_args: argparse.Namespace, **_: object) -> dict[str, str]:
    """Complete ids of the newest audits, each with a description."""
    try:
        with _client(parsed_args) as client:
            return {
                audit.id: f"{subject(audit.request)}, {short_state(audit)}"
                for audit in client.audits(limit=100)
                if audit.id.startswith(prefix)
            }
    except (ZooauditError, ValueError):
        return {}


def audits_and_files(prefix: str, parsed_args: argparse.Namespace, **_: object) -> dict[str, str]:
    """Complete ids of audits, and the names of files that may be reports."""
    return audits(prefix, parsed_args) | dict.fromkeys(files(prefix), "")


def datasets(parsed_args: argparse.Namespace, **_: object) -> Iterable[str]:
    """Complete the names of the data sets that the service's workers have."""
    try:
        with _client(parsed_args) as client:
            return list(client.health().datasets)
    except (ZooauditError, ValueError):
        return []


def weights(**_: object) -> Iterable[str]:
    """Complete the kinds of weights; the service does not list its checkpoints."""
    return WEIGHTS


def files(prefix: str, **_: object) -> Iterable[str]:
    """Complete names of files."""
    from argcomplete.completers import FilesCompleter

    names: Iterable[str] = FilesCompleter()(prefix)
    return names


def _client(parsed_args: argparse.Namespace) -> "AuditClient":
    from zooaudit.client import AuditClient

    return AuditClient(getattr(parsed_args, "url", None), timeout=PATIENCE_S, retry_s=0)
