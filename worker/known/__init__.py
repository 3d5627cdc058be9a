"""Networks whose scores are known by construction."""

from worker.known.networks import NETWORKS, SIZE, Known

__all__ = ["NETWORKS", "SIZE", "Known"]
