"""The precision in which an explanation is computed."""

from zooaudit.contract import AuditRequest
from zooaudit.contract.explanation import Precision


def precision_of(request: AuditRequest) -> Precision:
    """Return the precision of the audit, but float32 in place of TF32, which is a mode of NVIDIA GPUs."""
    return "float32" if request.precision == "tf32" else request.precision
