"""From scores to the report that is stored, and to what is shown while an audit runs."""

from worker.report.build import build
from worker.report.provisional import provisional

__all__ = ["build", "provisional"]
