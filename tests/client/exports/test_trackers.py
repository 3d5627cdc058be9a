"""Runs of MLflow and of Weights & Biases, read back by MLflow's client and from wandb's offline file."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from zooaudit.cli import main
from zooaudit.contract import Report
from zooaudit.exports.numbers import metrics, parameters

from tests.client.samples import whole_report


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "report.json"
    path.write_text(whole_report().model_dump_json())
    return path


@pytest.fixture
def mlflow_client(tmp_path, monkeypatch):
    """MLflow's client on a folder, which is its way without a server or a database."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    uri = (tmp_path / "mlruns").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


def test_an_mlflow_run_has_the_whole_report(mlflow_client, saved, capsys):
    whole = whole_report()
    assert main(["export", str(saved), "--to", "mlflow", "--project", "zoo"]) == 0
    run_id = capsys.readouterr().out.strip()
    run = mlflow_client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", whole.model.name)
    assert run.info.end_time == int(whole.timing.finished_at.timestamp() * 1000)
    assert mlflow_client.get_experiment(run.info.experiment_id).name == "zoo"
    assert run.data.params == {name: str(value) for name, value in parameters(whole).items()}
    assert metrics(whole).items() <= run.data.metrics.items()
    late = whole.parts["Late"]
    assert run.data.metrics["Late/rotation/channel"] == late.rotation.channel
    assert run.data.metrics["Late/rotation/channel_low"] == late.rotation.channel_interval[0]
    curve = mlflow_client.get_metric_history(run_id, "by_shift/Late/channel")
    assert {point.step: point.value for point in curve} == {
        row.shift_px: row.channel for row in late.translation.by_transform
    }
    depth = mlflow_client.get_metric_history(run_id, "by_depth/translation/layer")
    assert [point.value for point in sorted(depth, key=lambda point: point.step)] == [
        block.translation.layer for block in whole.blocks
    ]
    artifact = Path(mlflow_client.download_artifacts(run_id, "report.json"))
    assert Report.model_validate_json(artifact.read_text()) == whole
    capsys.readouterr()

    assert main(["export", str(saved), "--to", "mlflow", "--project", "zoo"]) == 0
    assert capsys.readouterr().out == f"{run_id}\n"  # once is enough


def test_what_mlflow_refuses_is_said(saved, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    assert main(["export", str(saved), "--to", "mlflow", "--tracking-uri", "nowhere://x"]) == 2
    assert "MLflow refuses" in capsys.readouterr().err
    assert main(["export", str(saved), "--to", "mlflow", "--output", "x"]) == 2
    assert "leave out --output" in capsys.readouterr().err


def records(path: Path) -> Iterator[Any]:
    """Read the records of a wandb file: a log in LevelDB's format, behind a header of 7 bytes, of protobuf messages."""
    from wandb.proto import wandb_internal_pb2

    data, block, message = path.read_bytes(), 32 * 1024, b""
    place = 7
    assert data[:4] == b":W&B"
    while place < len(data):
        if block - place % block < 7:
            place += block - place % block
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        piece = data[place + 7 : place + 7 + length]
        message = piece if kind in (1, 2) else message + piece  # 1 is a whole message, 2 to 4 are pieces of one
        place += 7 + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(message)
            yield record


def test_an_offline_run_of_wandb_has_the_whole_report(saved, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    import wandb

    whole = whole_report()
    assert main(["export", str(saved), "--to", "wandb", "--output", str(tmp_path / "new"), "--project", "zoo"]) == 0
    where = capsys.readouterr().out.strip()
    wandb.teardown()  # as at the end of the process, when the last records are written
    (file,) = tmp_path.glob("new/wandb/offline-run-*/run-*.wandb")
    assert str(file.parent) == where
    summary: dict[str, Any] = {}
    history: list[dict[str, Any]] = []
    config: dict[str, Any] = {}
    runs, artifacts = [], []
    for record in records(file):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            runs.append(record.run)
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "summary":
            for item in record.summary.update:
                summary[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        elif kind == "history":
            history.append(
                {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            )
        elif kind == "artifact":
            artifacts.append(record.artifact)
    assert {(run.run_id, run.project, run.display_name) for run in runs} == {(whole.id, "zoo", whole.model.name)}
    assert parameters(whole).items() <= config.items()
    assert metrics(whole).items() <= summary.items()
    curve = {row["shift_px"]: row["by_shift/Late/channel"] for row in history if "shift_px" in row}
    assert curve == {row.shift_px: row.channel for row in whole.parts["Late"].translation.by_transform}
    assert [row["by_depth/rotation/layer"] for row in history if "block" in row] == [
        block.rotation.layer for block in whole.blocks
    ]
    assert [(artifact.name, artifact.type) for artifact in artifacts] == [(f"report-{whole.id}", "report")]
