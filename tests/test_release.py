"""What a release consists of: one version and one licence everywhere, and wheels that run where nothing else is."""

import os
import re
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

import httpx
import pytest
import yaml
from zooaudit import __version__
from zooaudit.contract import AuditRequest

from service.processes import free_port
from tests.fakes import report_of

ROOT = Path(__file__).parents[1]


def test_one_version_and_one_licence_everywhere():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert versions[0] == __version__
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert licence == (ROOT / "clients/python/LICENSE").read_text()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    for source in (ROOT, ROOT / "clients/python"):
        uv("build", "--quiet", "--out-dir", str(folder), str(source))
    return {wheel.name.partition("-")[0]: wheel for wheel in folder.glob("*.whl")}


def uv(*arguments: str) -> None:
    subprocess.run([str(Path(sys.executable).parent / "uv"), *arguments], check=True, timeout=300)


def test_the_wheels_hold_the_licence_and_all_files_that_the_code_reads(wheels):
    for name, needed in {
        "zooaudit": ["zooaudit/site/templates/index.html", "zooaudit/site/assets/site.css", "zooaudit/py.typed"],
        "zooaudit_server": ["clients/dashboard/index.html", "docs/method.md", "service/app.py", "worker/audit.py"],
    }.items():
        files = zipfile.ZipFile(wheels[name]).namelist()
        assert [file for file in needed if file not in files] == []
        assert any(file.endswith("licenses/LICENSE") for file in files)
        assert not any(file.startswith("tests/") for file in files)


def test_the_client_runs_in_an_empty_environment(wheels, tmp_path):
    uv("venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv"))
    python = tmp_path / "venv/bin/python"
    uv("pip", "install", "--quiet", "--python", str(python), str(wheels["zooaudit"]))
    saved = tmp_path / "report.json"
    saved.write_text(report_of(AuditRequest(model="timm/resnet18.a1_in1k")).model_dump_json())
    command = [tmp_path / "venv/bin/zooaudit"]
    assert run([*command, "--version"]).strip() == __version__
    assert "Early" in run([*command, "report", str(saved)])


def run(command: list[str | Path]) -> str:
    """Run a command away from the sources, and return what it prints."""
    without_sources = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, env=without_sources, cwd="/", capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_service_runs_from_its_wheel(wheels, tmp_path):
    # Its dependencies are gigabytes: it finds those of this environment, but not the sources.
    uv("venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv"))
    python = tmp_path / "venv/bin/python"
    uv("pip", "install", "--quiet", "--no-deps", "--python", str(python), str(wheels["zooaudit_server"]))
    site = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "zooaudit" not in entry.name and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)
    (site / "dependencies.pth").write_text(f"{packages}\n")
    where = "import service, zooaudit; print(service.__file__, zooaudit.__file__)"
    assert run([python, "-c", where]).count(str(site)) == 2
    port = free_port()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"ZOOAUDIT_PORT": str(port), "ZOOAUDIT_STORE": str(tmp_path / "store"), "ZOOAUDIT_API_KEYS": ""}
    process = subprocess.Popen([python, "-m", "service"], cwd=tmp_path, env=env)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=0)) as http:
            wait_until_it_answers(http, process)
            for path in ("/", "/zoo", "/method", "/docs", "/static/app.js", "/static/swagger-ui.js", "/openapi.json"):
                assert http.get(path).status_code == 200, path
    finally:
        process.terminate()
        process.wait(30)


def wait_until_it_answers(http: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    """Wait for the service. It starts even while Redis is away, as here."""
    deadline = time.monotonic() + 60
    while True:
        try:
            http.get("/health")
        except httpx.TransportError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


def test_the_documentation_loads_nothing_from_elsewhere(tmp_path):
    site = tmp_path / "site"
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    subprocess.run(build, cwd=ROOT, check=True, timeout=300)
    pages = list(site.rglob("*.html"))
    assert {"index.html", "method.html", "tutorial.html", "library.html", "changelog.html"} <= {
        one.name for one in pages
    }
    loaded = r'<(?:script|img|iframe)[^>]* src="(?:https?:)?//[^"]*|<link[^>]* href="(?:https?:)?//[^"]*'
    foreign = [match for page in pages for match in re.findall(loaded, page.read_text()) if "canonical" not in match]
    assert foreign == []
