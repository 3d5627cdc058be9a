"""The tutorial runs as it is written, against a service with a real worker."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.e2e.browser import KEY

TUTORIAL = Path(__file__).parents[2] / "docs/tutorial.ipynb"


def test_the_tutorial_runs(service, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOOAUDIT_URL", service.url)
    monkeypatch.setenv("ZOOAUDIT_API_KEY", KEY)
    notebook = nbformat.read(TUTORIAL, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # what it prints is not kept, but made anew
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    printed = "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
    for expected in ("'ok'", "forward images", "Early", "untrained", "layer_held_out", "p_adjusted"):
        assert expected in printed, expected
