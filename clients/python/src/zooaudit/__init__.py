"""zooaudit: how equivariant is a pretrained image model, and where in its depth?

import zooaudit

with zooaudit.AuditClient("http://127.0.0.1:8000") as client:
    report = client.audit("timm/resnet18.a1_in1k", dataset="synthetic", num_images=64).wait()
    print(report.parts["Early"].translation.channel)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zooaudit.version import __version__

if TYPE_CHECKING:
    from zooaudit import figures as figures
    from zooaudit.async_client import AsyncAuditClient
    from zooaudit.callbacks import verify_callback
    from zooaudit.client import AuditClient
    from zooaudit.contract import (
        PARTS,
        Access,
        AuditRequest,
        CatalogueEntry,
        Health,
        LogEntry,
        ModelDetail,
        ModelList,
        Part,
        Problem,
        Progress,
        Shard,
        Sharing,
        Status,
    )
    from zooaudit.errors import (
        ApiError,
        AuditCanceled,
        AuditFailed,
        CallbackRefused,
        Conflict,
        ConnectionFailed,
        InvalidRequest,
        NotFound,
        Unauthorized,
        Unavailable,
        UnexpectedAnswer,
        WaitTimeout,
        ZooauditError,
    )
    from zooaudit.handle import AsyncAuditHandle, AuditHandle
    from zooaudit.options import Options
    from zooaudit.results import (
        Audit,
        Comparison,
        Cost,
        Explanation,
        Leaderboard,
        LeastEquivariant,
        MeasureAgreement,
        Report,
    )

__all__ = [
    "PARTS",
    "Access",
    "ApiError",
    "AsyncAuditClient",
    "AsyncAuditHandle",
    "Audit",
    "AuditCanceled",
    "AuditClient",
    "AuditFailed",
    "AuditHandle",
    "AuditRequest",
    "CallbackRefused",
    "CatalogueEntry",
    "Comparison",
    "Conflict",
    "ConnectionFailed",
    "Cost",
    "Explanation",
    "Health",
    "InvalidRequest",
    "Leaderboard",
    "LeastEquivariant",
    "LogEntry",
    "MeasureAgreement",
    "ModelDetail",
    "ModelList",
    "NotFound",
    "Options",
    "Part",
    "Problem",
    "Progress",
    "Report",
    "Shard",
    "Sharing",
    "Status",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
    "WaitTimeout",
    "ZooauditError",
    "__version__",
    "verify_callback",
]

# Imported on first use: `import zooaudit` costs nothing, and the service and the worker, which need only the contract,
# never import httpx. A name comes from the first module that has it: `results` stands before the contract, whose
# records it extends.
_MODULES = ("results", "contract", "errors", "callbacks", "options", "handle", "client", "async_client")


def __getattr__(name: str) -> Any:
    if name == "figures":
        return import_module("zooaudit.figures")
    if name in __all__:
        for module in (import_module(f"zooaudit.{module_name}") for module_name in _MODULES):
            if hasattr(module, name):
                globals()[name] = getattr(module, name)
                return globals()[name]
    raise AttributeError(f"module 'zooaudit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
