"""From scores to the report that is stored."""

from worker.report.build import build, is_narrow, provisional

__all__ = ["build", "is_narrow", "provisional"]
