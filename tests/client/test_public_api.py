"""`import zooaudit` gives the public names, and costs next to nothing."""

import subprocess
import sys

import pytest
import zooaudit
from zooaudit import errors

from tests.client.samples import report


def test_the_public_names():
    assert sorted(zooaudit.__all__) == sorted(
        [
            *("AuditClient", "AsyncAuditClient", "AuditHandle", "AsyncAuditHandle", "Options", "__version__"),
            *(
                "PARTS",
                "Audit",
                "AuditRequest",
                "CatalogueEntry",
                "Comparison",
                "Cost",
                "Explanation",
                "Health",
                "LeastEquivariant",
            ),
            *("ModelDetail", "ModelList", "Part", "Access", "Leaderboard", "LogEntry", "MeasureAgreement"),
            *("Problem", "Progress", "Report", "Shard", "Sharing", "Status"),
            *("CallbackRefused", "verify_callback"),
            *("ZooauditError", "ConnectionFailed", "UnexpectedAnswer", "WaitTimeout", "AuditFailed", "AuditCanceled"),
            *("ApiError", "InvalidRequest", "Unauthorized", "NotFound", "Conflict", "Unavailable"),
        ]
    )
    for name in zooaudit.__all__:
        assert getattr(zooaudit, name) is not None
    assert set(zooaudit.__all__) <= set(dir(zooaudit))


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'audit_model'"):
        zooaudit.audit_model  # noqa: B018


def test_the_drawn_tree_is_the_tree():
    error_types = [
        error_type
        for error_type in vars(errors).values()
        if isinstance(error_type, type) and issubclass(error_type, errors.ZooauditError)
    ]
    assert len(error_types) == 13
    for error_type in error_types:
        assert error_type.__name__ in (errors.__doc__ or "")
        assert error_type.__name__ in zooaudit.__all__


def test_importing_is_light():
    code = "import sys, zooaudit; print(*sorted({'httpx', 'pydantic', 'rich', 'torch', 'asyncio'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, "", "")


def test_the_library_works_without_rich():
    code = """
import sys
sys.modules["rich"] = None
import io, zooaudit, zooaudit.cli
from zooaudit.views import terminal
from zooaudit.views.tables import Table
class Terminal(io.StringIO):
    def isatty(self): return True
out = Terminal()
terminal.print_tables([Table(["A"], [["x"]])], out)
print(repr(out.getvalue()))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.stdout.strip(), ran.stderr) == (repr("A\nx\n"), "")


def test_figures_are_a_module_of_the_package():
    import zooaudit.figures
    from zooaudit import figures
    from zooaudit.figures import depth

    assert figures is zooaudit.figures
    assert figures.parts([report()])["data"]
    assert depth is figures.depth


def test_figures_are_imported_on_first_use():
    for use in ("zooaudit.figures.depth", "from zooaudit import figures", "import zooaudit.figures"):
        code = f"import zooaudit; import sys; assert 'zooaudit.figures' not in sys.modules; {use}"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert (ran.returncode, ran.stderr) == (0, "")
