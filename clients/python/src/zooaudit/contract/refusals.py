"""Why Redis or the report store does not do what it is asked, in words for whoever waits for it.

>>> refusal(Exception("MISCONF Errors writing to the AOF file: No space left on device"))
'it cannot save its data, as when its disk is full (MISCONF)'
>>> refusal(Exception("WRONGTYPE Operation against a key holding the wrong kind of value")) is None
True
"""

import os
import re
from typing import Final

REFUSALS: Final[dict[str, str]] = {
    "READONLY": "it is a read-only replica, as during a failover",
    "OOM": "its memory is full",
    "MISCONF": "it cannot save its data, as when its disk is full",
    "LOADING": "it is still loading its data",
    "NOPERM": "its user may not run this command",
    "NOAUTH": "it wants a password",
    "WRONGPASS": "it does not accept this password",
    "MASTERDOWN": "it is a replica that has lost its master",
    "NOREPLICAS": "it has too few replicas",
    "CLUSTERDOWN": "its cluster is down",
    "UNBLOCKED": "its role has just changed",
}
"""The codes with which a Redis that is alive refuses commands for the time being, each with its reason."""


def refusal(error: Exception) -> str | None:
    """Return the reason, with its code, for which Redis refused a command; None if ``error`` is no refusal.

    redis-py puts some codes into ``error.status_code`` and leaves others in the message. Those of a script are anywhere
    in the message.
    """
    words = re.findall(r"\b[A-Z]{3,}\b", f"{getattr(error, 'status_code', None) or ''} {error}")
    return next((f"{REFUSALS[word]} ({word})" for word in words if word in REFUSALS), None)


def store_trouble(error: Exception) -> str:
    """Say in a few words why the report store failed. obstore's own messages are dumps, with paths and addresses.

    >>> store_trouble(Exception("Generic LocalFileSystem error: Unable to open file /srv/store/x (os error 28) ..."))
    'no space left on device'
    """
    if number := re.search(r"os error (\d+)", str(error)):
        return os.strerror(int(number[1])).lower()
    if "Permission" in type(error).__name__:
        return "permission denied"
    return f"it does not answer ({type(error).__name__})"
