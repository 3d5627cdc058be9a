"""The seal of a report: a hash of all that it says, by which a report that was changed after its audit is found.

Whoever changes a report can seal it anew, so a seal tells a changed digit or a damaged file, not a liar.
"""

import hashlib
import json
from typing import Any

from zooaudit.contract.report import Report


def sealed(report: Report) -> Report:
    """Return the report with its seal in ``environment.report_sha256``."""
    seal = seal_of(json.loads(report.model_dump_json()))
    return report.model_copy(update={"environment": report.environment.model_copy(update={"report_sha256": seal})})


def seal_of(body: dict[str, Any]) -> str:
    """Compute the seal of a report that was read as JSON: SHA-256 of the JSON without the seal, with sorted keys and
    without spaces.

    It depends on what the report says, not on how its file is indented.
    """
    environment = {key: value for key, value in body["environment"].items() if key != "report_sha256"}
    canonical = json.dumps({**body, "environment": environment}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
