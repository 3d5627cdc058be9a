"""The OpenAPI document is true: a fuzzer gets no answer that the document does not describe."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import validate
from zooaudit.contract import AuditRequest

from service.stack import running
from tests.fakes import ASK, report_of

NOT_FUZZED = "/(events|explanation|least-equivariant)$"
"""Paths that are tested elsewhere: a stream that does not end, and what only a running worker can answer."""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


async def test_the_document_is_valid_and_complete(http):
    document = (await http.get("/openapi.json")).json()
    validate(document)
    assert {(path, method) for path, item in document["paths"].items() for method in item} == {
        ("/audit", "post"),
        ("/audits", "post"),
        ("/audit", "get"),
        ("/audit/{identifier}", "get"),
        ("/audit/{identifier}", "delete"),
        ("/audit/{identifier}", "patch"),
        ("/audit/{identifier}/events", "get"),
        ("/audit/{identifier}/report", "get"),
        ("/audit/{identifier}/figures", "get"),
        ("/reports", "post"),
        ("/audit/{identifier}/explanation", "post"),
        ("/audit/{identifier}/explanation", "get"),
        ("/audit/{identifier}/least-equivariant", "post"),
        ("/audit/{identifier}/least-equivariant", "get"),
        ("/audit/{identifier}/reading", "get"),
        ("/audit/{identifier}/second-opinion", "get"),
        ("/audit/{identifier}/second-opinion/figures", "get"),
        ("/comparison", "get"),
        ("/comparison/figures", "get"),
        ("/comparison/second-opinion", "get"),
        ("/comparison/second-opinion/figures", "get"),
        ("/leaderboard", "get"),
        ("/models", "get"),
        ("/models/{name}", "get"),
        ("/health", "get"),
        ("/key", "get"),
        ("/log", "get"),
        ("/terms", "get"),
    }
    submit = document["paths"]["/audit"]["post"]
    codes = "200 202 400 401 403 408 413 415 422 429 503"
    assert set(submit["responses"]) == set(codes.split())
    assert set(document["paths"]["/audit"]["get"]["responses"]) == {"200", "304", "401", "403", "408", "422", "503"}
    assert submit["security"] == [{"bearer": []}]
    assert document["paths"]["/audit"]["get"]["security"] == [{"bearer": []}, {}]
    assert "security" not in document["paths"]["/health"]["get"]
    assert list(submit["responses"]["422"]["content"]) == ["application/problem+json"]
    assert list(submit["responses"]["202"]["content"]) == ["application/json"]
    assert [(parameter["name"], parameter["in"]) for parameter in submit["parameters"]] == [("dry_run", "query")]
    answers = submit["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"]
    assert [answer["$ref"].rpartition("/")[2] for answer in answers] == ["Audit", "Cost"]
    for example in document["components"]["schemas"]["AuditRequest"]["examples"]:
        assert AuditRequest.model_validate(example)


@pytest.mark.usefixtures("published")
def test_a_fuzzer_finds_nothing_undocumented(redis_server, tmp_path, store_report):
    store_report(report_of(AuditRequest(**ASK)))
    schemathesis = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert schemathesis
    env = {"ZOOAUDIT_REDIS_URL": redis_server.url, "ZOOAUDIT_STORE": str(tmp_path / "store"), "ZOOAUDIT_API_KEYS": ""}
    with running(tmp_path / "stack", workers=0, env=env) as stack:
        assert len(httpx.get(f"{stack.url}/audit").json()["audits"]) == 1
        paths = httpx.get(f"{stack.url}/openapi.json").json()["paths"]
        operations = [path for path, item in paths.items() for _ in item]
        left_out = [path for path in operations if re.search(NOT_FUZZED, path)]
        assert len(left_out) == 5
        command = [schemathesis, "run", f"{stack.url}/openapi.json", "--checks", CHECKS, "--max-examples", "10"]
        command += ["--exclude-path-regex", NOT_FUZZED]
        fuzzed = subprocess.run(
            [*command, "--seed", "7", "--suppress-health-check", "all", "--no-color"],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert fuzzed.returncode == 0, fuzzed.stdout
    assert f"Operations:       {len(operations) - len(left_out)} selected / {len(operations)} total" in fuzzed.stdout
