"""zooaudit: how equivariant is a pretrained image model, and where in its depth?

import zooaudit

with zooaudit.AuditClient("http://127.0.0.1:8000") as client:
    report = client.audit("timm/resnet18.a1_in1k", dataset="synthetic", num_images=64).wait()
    print(report.parts["Early"].translation.channel)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zooaudit.async_client import AsyncAuditClient
    from zooaudit.client import AuditClient
    from zooaudit.contract import (
        PARTS,
        Audit,
        AuditRequest,
        CatalogueEntry,
        Comparison,
        Health,
        ModelDetail,
        ModelList,
        Part,
        Problem,
        Progress,
        Report,
        Status,
    )
    from zooaudit.errors import (
        ApiError,
        AuditCanceled,
        AuditFailed,
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

__version__ = "0.1.0"

__all__ = [
    "PARTS",
    "ApiError",
    "AsyncAuditClient",
    "AsyncAuditHandle",
    "Audit",
    "AuditCanceled",
    "AuditClient",
    "AuditFailed",
    "AuditHandle",
    "AuditRequest",
    "CatalogueEntry",
    "Comparison",
    "Conflict",
    "ConnectionFailed",
    "Health",
    "InvalidRequest",
    "ModelDetail",
    "ModelList",
    "NotFound",
    "Options",
    "Part",
    "Problem",
    "Progress",
    "Report",
    "Status",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
    "WaitTimeout",
    "ZooauditError",
    "__version__",
]

# Looked up on first use: `import zooaudit` costs nothing, and the service and the worker, which need the
# contract alone, never import httpx.
_MODULES = ("contract", "errors", "options", "handle", "client", "async_client")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            found = import_module(f"zooaudit.{module}")
            if hasattr(found, name):
                globals()[name] = getattr(found, name)
                return globals()[name]
    raise AttributeError(f"module 'zooaudit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
