"""Completion in the shell, with argcomplete: of commands and options, and of the service's models and audits."""

import argparse
from collections.abc import Iterable

SHELLS = ("bash", "zsh", "fish")
PATIENCE_S = 2.0
"""Nobody waits longer for a completion."""


def script(shell: str) -> str:
    """What the shell has to read so that it completes ``zooaudit``. Raises ImportError without argcomplete."""
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError:
        raise ImportError(
            "Completion needs argcomplete: pip install 'zooaudit[cli]', or pip install argcomplete"
        ) from None
    return shellcode(["zooaudit"], shell=shell)


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers the shell and ends the process, where it is a shell that asks."""
    import argcomplete

    argcomplete.autocomplete(parser)


def models(prefix: str, parsed_args: argparse.Namespace, **_: object) -> Iterable[str]:
    """Full names of models that can be audited. What starts with neither zoo is looked for in both."""
    from zooaudit import AuditClient, ZooauditError

    try:
        with AuditClient(getattr(parsed_args, "url", None), timeout=PATIENCE_S, retry_s=0) as client:
            found = client.models(prefix, limit=1000).models
    except (ZooauditError, ValueError):
        return []
    return [
        name
        for entry in found
        if entry.supported
        for name in (entry.name, *(f"{entry.name}.{tag}" for tag in entry.tags))
        if name.startswith(prefix)
    ]


def audits(prefix: str, parsed_args: argparse.Namespace, **_: object) -> dict[str, str]:
    """Ids of the newest audits, and what they are of."""
    from zooaudit import AuditClient, ZooauditError
    from zooaudit.words import short_state, subject

    try:
        with AuditClient(getattr(parsed_args, "url", None), timeout=PATIENCE_S, retry_s=0) as client:
            return {
                audit.id: f"{subject(audit.request)}, {short_state(audit)}"
                for audit in client.audits(limit=100)
                if audit.id.startswith(prefix)
            }
    except (ZooauditError, ValueError):
        return {}
