"""Completion in the shell, with argcomplete: of commands and options, and of the service's models and audits."""

import argparse
from collections.abc import Iterable

from zooaudit.errors import ZooauditError
from zooaudit.views.text import short_state, subject

SHELLS = ("bash", "zsh", "fish")
ZOOS = ("timm/", "torchvision/")
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
    return shellcode(["zooaudit"], shell=shell)


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions, and end the process."""
    import argcomplete

    argcomplete.autocomplete(parser, always_complete_options=False)


def models(prefix: str, parsed_args: argparse.Namespace, **_: object) -> Iterable[str]:
    """Complete names of models: full names after a zoo and a slash, else the zoos and timm's bare names."""
    from zooaudit.client import AuditClient

    if len(prefix) < 2:
        return ZOOS
    try:
        with AuditClient(getattr(parsed_args, "url", None), timeout=PATIENCE_S, retry_s=0) as client:
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
    from zooaudit.client import AuditClient

    try:
        with AuditClient(getattr(parsed_args, "url", None), timeout=PATIENCE_S, retry_s=0) as client:
            return {
                audit.id: f"{subject(audit.request)}, {short_state(audit)}"
                for audit in client.audits(limit=100)
                if audit.id.startswith(prefix)
            }
    except (ZooauditError, ValueError):
        return {}
