"""The API keys of the setting ZOOAUDIT_API_KEYS, and what each of them may do."""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from zooaudit.contract import ROLES, Role

NOBODY = "anonymous"
"""The name of a caller without a key."""
RETENTION = "retention"
"""The name under which the service itself removes audits."""
OLD_FORM_ROLE: Role = "submit"
"""What a key without a role may do: ask for audits and cancel them, as before there were roles."""


@dataclass(frozen=True)
class ApiKey:
    """A key, the name by which the audit log calls whoever uses it, and what it may do."""

    name: str
    role: Role
    secret: str = field(repr=False)


def parse_keys(texts: Iterable[str]) -> tuple[ApiKey, ...]:
    """Read keys of the forms ``KEY`` and ``NAME:ROLE:KEY``. Raises ValueError, whose message repeats no key.

    A text is of the second form if what stands between its first two colons is a role, so a ``KEY`` may hold colons.

    >>> [(key.name, key.role) for key in parse_keys(["lab:read:0:1", "a:b:c"])]
    [('lab', 'read'), ('key-b0ee04f8', 'submit')]
    """
    keys = tuple(dict.fromkeys(map(_parse_key, texts)))
    names, secrets = [key.name for key in keys], [key.secret for key in keys]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two keys have the name {twice}; give each its own")
    if twice := next((key.name for key in keys if secrets.count(key.secret) > 1), None):
        raise ValueError(f"the key of {twice} has two names or roles; write it once")
    return keys


def _parse_key(text: str) -> ApiKey:
    name, _, rest = text.partition(":")
    word, _, secret = rest.partition(":")
    role = next((role for role in ROLES if role == word), None)
    if role is None:
        return ApiKey(f"key-{hashlib.sha256(text.encode()).hexdigest()[:8]}", OLD_FORM_ROLE, text)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", name) or name.startswith("key-"):
        raise ValueError(
            f"the name before :{role}: has other characters than letters, digits, '.', '_', '@' and '-', has more than "
            "64 of them, or begins with 'key-'"
        )
    if name in (NOBODY, RETENTION):
        raise ValueError(f"no key can have the name {name}, which the service uses itself")
    if not secret:
        raise ValueError(f"the key of {name} is missing; write {name}:{role}:KEY")
    return ApiKey(name, role, secret)


def find_key(keys: Iterable[ApiKey], given: str) -> ApiKey | None:
    """Return the key whose secret was given; None if there is none."""
    # Compare every key, so that the time taken tells nothing about them.
    matches = [key for key in keys if hmac.compare_digest(given.encode(), key.secret.encode())]
    return matches[0] if matches else None


def may(role: Role, needed: Role) -> bool:
    """Tell whether a key of this role may do what needs another one."""
    return ROLES.index(role) >= ROLES.index(needed)


def entries_with_misspelt_roles(texts: Iterable[str]) -> list[int]:
    """Return the numbers, from 1, of the entries that look like ``NAME:ROLE:KEY``, but name no role."""
    return [
        number
        for number, text in enumerate(texts, 1)
        if text.count(":") >= 2 and (word := text.split(":")[1]) not in ROLES and word.isalpha()
    ]
