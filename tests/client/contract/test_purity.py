"""The contract is pure data: it imports nothing else of zooaudit, not even when its records are used."""

import subprocess
import sys

CODE = """
import sys
from importlib import import_module
from pkgutil import walk_packages


class OnlyContract:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("zooaudit.") and name.split(".")[1] not in ("contract", "version"):
            raise ImportError(f"the contract imports {name}")


sys.meta_path.insert(0, OnlyContract())
import zooaudit.contract

for module in walk_packages(zooaudit.contract.__path__, "zooaudit.contract."):
    import_module(module.name)

from tests.fakes import ASK, report_of

report = report_of(zooaudit.contract.AuditRequest(**ASK))
print(report, repr(report), report == report.model_copy(), hash(report.model))
"""


def test_the_contract_imports_nothing_else_of_zooaudit():
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
