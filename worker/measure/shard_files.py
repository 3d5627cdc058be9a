"""The scores of a shard as bytes, for the report store: exact to the last digit, and free of code."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, get_args

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from zooaudit.contract import Axis, Contract, Direction, WarpKind

from worker.measure.model_scores import ModelScores
from worker.measure.moments import Spread
from worker.measure.plan import Task
from worker.measure.probes.kinds import Found, Probe
from worker.measure.probes.statistic import Statistic
from worker.measure.similarity import Equivariance, Similarity
from worker.measure.transforms import Border, Reflection, Rotation, Shift, Transform
from worker.measure.warps import Warp

HEADER = "header"
PROBES: dict[str, Any] = {kind.__name__: kind for kind in get_args(Probe)}


class DamagedShard(Exception):
    """These bytes are no shard."""


class _Score(Contract):
    channel: float | None
    layer: float | None
    reason: str | None
    layer_held_out: float | None
    interpolation: float | None = None
    own: bool
    deviations: bool


class _Row(Contract):
    """The scores under one transform, by representation and similarity."""

    shift_px: int | None
    border: Border | None
    direction: Direction | None
    angle_deg: int | None
    axis: Axis | None
    kind: WarpKind | None = None
    amount: float | None = None
    same_class: tuple[int, ...]
    scores: tuple[dict[Similarity, _Score], ...]


class _Statistic(Contract):
    value: float | None
    reason: str | None
    deviations: bool


class _Probe(Contract):
    """What a probe has found; ``kind`` and ``fields`` name the probe."""

    kind: str
    fields: dict[str, Any]
    found: dict[str, tuple[_Statistic, ...]]


class _Header(Contract):
    tasks: tuple[Task, ...]
    rows: tuple[_Row, ...]
    spreads: tuple[tuple[int, float], ...]
    groups: tuple[int, ...]
    skipped: tuple[str, ...]
    batch_size: int
    used_graphs: bool | None
    used_tensor_cores: bool | None
    devices: tuple[str, ...]
    forward_images: int
    started_at: datetime
    seconds: float
    probes: tuple[_Probe, ...]


def to_bytes(tasks: tuple[Task, ...], scores: ModelScores) -> bytes:
    """Write the scores that a shard has for its ``tasks``."""
    tensors: dict[str, Tensor] = {}
    rows = []
    for number, (transform, of_representations) in enumerate(scores.results.items()):
        cells = []
        for index, of_similarities in enumerate(of_representations):
            for similarity, score in of_similarities.items():
                for name, array in (("own", score.own), ("deviations", score.deviations)):
                    if array is not None:
                        tensors[f"{number}/{index}/{similarity}/{name}"] = torch.from_numpy(array).contiguous()
            cells.append({similarity: _score(score) for similarity, score in of_similarities.items()})
        rows.append(
            _Row(
                shift_px=transform.shift_px if isinstance(transform, Shift) else None,
                border=transform.border if isinstance(transform, Shift) else None,
                direction=transform.direction if isinstance(transform, Shift) else None,
                angle_deg=transform.angle_deg if isinstance(transform, Rotation) else None,
                axis=transform.axis if isinstance(transform, Reflection) else None,
                kind=transform.kind if isinstance(transform, Warp) else None,
                amount=transform.amount if isinstance(transform, Warp) else None,
                same_class=tuple(scores.same_class[transform]),
                scores=tuple(cells),
            )
        )
    for index, spread in enumerate(scores.reference_spreads):
        for name in ("pivot", "total", "square"):
            tensors[f"spread/{index}/{name}"] = getattr(spread, name).cpu().contiguous()
    for number, found in enumerate(scores.probes.values()):
        for name, statistics in found.items():
            for index, statistic in enumerate(statistics):
                if statistic.deviations is not None:
                    key = f"probe/{number}/{name}/{index}"
                    tensors[key] = torch.from_numpy(statistic.deviations).contiguous()
    header = _Header(
        tasks=tasks,
        rows=tuple(rows),
        spreads=tuple((int(spread.count), spread.resolution) for spread in scores.reference_spreads),
        groups=tuple(scores.groups),
        skipped=scores.skipped,
        batch_size=scores.batch_size,
        used_graphs=scores.used_graphs,
        used_tensor_cores=scores.used_tensor_cores,
        devices=scores.devices,
        forward_images=scores.forward_images,
        started_at=scores.started_at,
        seconds=scores.seconds,
        probes=tuple(_probe(probe, found) for probe, found in scores.probes.items()),
    )
    return save(tensors, {HEADER: header.model_dump_json()})


def from_bytes(content: bytes) -> tuple[tuple[Task, ...], ModelScores]:
    """Read what :func:`to_bytes` has written. Raises DamagedShard for anything else."""
    try:
        length = int.from_bytes(content[:8], "little")
        header = _Header.model_validate_json(json.loads(content[8 : 8 + length])["__metadata__"][HEADER])
        tensors = load(content)
        results = {
            _transform(row): [
                {
                    similarity: _equivariance(score, tensors, f"{number}/{index}/{similarity}")
                    for similarity, score in cell.items()
                }
                for index, cell in enumerate(row.scores)
            ]
            for number, row in enumerate(header.rows)
        }
        spreads = []
        for index, (count, resolution) in enumerate(header.spreads):
            pivot, total, square = (tensors[f"spread/{index}/{name}"] for name in ("pivot", "total", "square"))
            spreads.append(Spread(count, pivot, total, square, resolution))
        probes = {
            TypeAdapter(PROBES[probe.kind]).validate_python(probe.fields): {
                name: [
                    _read_statistic(statistic, tensors, f"probe/{number}/{name}/{index}")
                    for index, statistic in enumerate(statistics)
                ]
                for name, statistics in probe.found.items()
            }
            for number, probe in enumerate(header.probes)
        }
    except (SafetensorError, ValidationError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise DamagedShard(type(error).__name__) from error
    return header.tasks, ModelScores(
        results=results,
        same_class={_transform(row): row.same_class for row in header.rows},
        reference_spreads=spreads,
        groups=list(header.groups),
        skipped=header.skipped,
        batch_size=header.batch_size,
        used_graphs=header.used_graphs,
        used_tensor_cores=header.used_tensor_cores,
        devices=header.devices,
        forward_images=header.forward_images,
        started_at=header.started_at,
        seconds=header.seconds,
        probes=probes,
    )


def _score(score: Equivariance) -> _Score:
    return _Score(
        channel=score.channel,
        layer=score.layer,
        reason=score.reason,
        layer_held_out=score.layer_held_out,
        interpolation=score.interpolation,
        own=score.own is not None,
        deviations=score.deviations is not None,
    )


def _equivariance(score: _Score, tensors: Mapping[str, Tensor], key: str) -> Equivariance:
    return Equivariance(
        score.channel,
        score.layer,
        score.reason,
        layer_held_out=score.layer_held_out,
        interpolation=score.interpolation,
        own=tensors[f"{key}/own"].numpy() if score.own else None,
        deviations=tensors[f"{key}/deviations"].numpy() if score.deviations else None,
    )


def _probe(probe: Probe, found: Found) -> _Probe:
    return _Probe(
        kind=type(probe).__name__,
        fields=asdict(probe),
        found={
            name: tuple(
                _Statistic(value=each.value, reason=each.reason, deviations=each.deviations is not None)
                for each in statistics
            )
            for name, statistics in found.items()
        },
    )


def _read_statistic(statistic: _Statistic, tensors: Mapping[str, Tensor], key: str) -> Statistic:
    return Statistic(statistic.value, statistic.reason, tensors[key].numpy() if statistic.deviations else None)


def _transform(row: _Row) -> Transform:
    if row.angle_deg is not None:
        return Rotation(row.angle_deg)
    if row.axis is not None:
        return Reflection(row.axis)
    if row.kind is not None and row.amount is not None:
        return Warp(row.kind, row.amount)
    if row.shift_px is None or row.border is None or row.direction is None:
        raise ValueError("neither a shift nor a rotation, reflection or warp")
    return Shift(row.shift_px, row.border, row.direction)
