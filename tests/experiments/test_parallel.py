"""Jobs in processes of their own."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from experiments.parallel import run_all
from experiments.progress import steps
from worker.errors import AuditError, ProcessDied

STUCK = """
import time
import torch
from experiments.parallel import run_all
from experiments.progress import steps

def job(shown):
    shown.begin("running")
    time.sleep(600)

if __name__ == "__main__":
    with steps("jobs", 1) as shown:
        run_all([job], shown, torch.device("cpu"))
"""


def test_no_job_outlives_the_process_that_started_it(tmp_path):
    (tmp_path / "stuck.py").write_text(STUCK)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-m", "stuck"], stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
    )
    assert process.stderr is not None
    while "running" not in process.stderr.readline():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    try:
        process.communicate(timeout=60)  # returns when the last process that can write has ended
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def refuse(_shown):
    raise AuditError("unsupported-model", "It has no layers.")


def die(_shown):
    raise ProcessDied("It was killed.")


@pytest.mark.parametrize(
    ("job", "kind", "slug"), [(refuse, AuditError, "unsupported-model"), (die, ProcessDied, "worker-died")]
)
def test_what_a_job_raises_is_raised(job, kind, slug):
    with steps("jobs", 1) as shown, pytest.raises(kind) as raised:
        run_all([job], shown, torch.device("cpu"))
    assert raised.value.problem.type.endswith(slug)
    assert str(raised.value) == raised.value.problem.detail
