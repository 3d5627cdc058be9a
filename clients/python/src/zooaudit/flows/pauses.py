"""How long a client waits: between two polls, and for a service that does not answer."""

import httpx

from zooaudit.exchange import retry_after_s

POLL_S = 1.0
"""Seconds between two polls unless the service asks for another pause."""
SOONEST_S = 0.05
"""The shortest pause between two polls, whatever the service asks for."""
OUTAGE_S = 60.0
"""Seconds for which a wait goes on while the service does not answer."""


def pause_s(response: httpx.Response, poll_s: float | None) -> float:
    """Return the seconds until the next poll: the caller's ``poll_s``, else what the service asks for."""
    if poll_s is not None:
        return max(poll_s, 0.0)
    retry_after = retry_after_s(response)
    return POLL_S if retry_after is None else max(retry_after, SOONEST_S)
