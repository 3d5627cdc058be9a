"""What the probes have found, as a report tells it: by block and by part, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zooaudit.contract import (
    GENERATORS,
    PARTS,
    AuditRequest,
    Consistency,
    DeformationRow,
    Magnitude,
    PartName,
    SecondOpinion,
)

from worker.measure.experiment import Experiment
from worker.measure.jackknife import half_width, share_interval
from worker.measure.model_scores import ModelScores
from worker.measure.probes.consistency import published
from worker.measure.probes.local_error import LocalError
from worker.measure.probes.statistic import Statistic, mean
from worker.measure.probes.variance import Variance
from worker.measure.scores import TOO_FEW
from worker.zoo import LoadedModel

CONSISTENCY = "consistency"
PREFIXES: dict[type, str] = {LocalError: "local/", Variance: "variance/"}
"""What tells apart the rotations, or others, of which several probes say something."""


@dataclass(frozen=True)
class Findings:
    """All that the probes have found of a model, by name, over these ``groups`` of images.

    ``by_block`` has a statistic for each representation, ``whole`` those of the whole model.
    """

    by_block: Mapping[str, Sequence[Statistic]]
    whole: Mapping[str, Statistic]
    groups: Sequence[int]


def findings(models: Sequence[ModelScores]) -> Findings | None:
    """Return what the probes have found of a model, or of several untrained ones: the means; None without probes."""
    if not models[0].probes:
        return None
    of_models = [
        {
            PREFIXES.get(type(probe), "") + name: each
            for probe, found in scores.probes.items()
            for name, each in found.items()
        }
        for scores in models
    ]
    means = {
        name: [mean(statistics) for statistics in zip(*(found[name] for found in of_models), strict=True)]
        for name in of_models[0]
    }
    whole = {name for name in means if name == CONSISTENCY or name.startswith("gradient/")}
    return Findings(
        by_block={name: statistics for name, statistics in means.items() if name not in whole},
        whole={name: means[name][0] for name in whole},
        groups=models[0].groups,
    )


def of_block(found: Findings, request: AuditRequest, index: int) -> SecondOpinion | None:
    """Return the second opinion of the block of this index, if its measures were asked for."""
    return _opinion({name: statistics[index] for name, statistics in found.by_block.items()}, found, request)


def of_parts(found: Findings, request: AuditRequest, experiment: Experiment) -> dict[PartName, SecondOpinion | None]:
    """Return the second opinion of each part: the means over its blocks."""
    members: dict[PartName, list[int]] = {part: [] for part in PARTS}
    for index, representation in enumerate(experiment.representations):
        members[representation.part].append(index)
    return {
        part: _opinion(
            {
                name: mean([statistics[index] for index in of_part], experiment.absent.get(part, TOO_FEW))
                for name, statistics in found.by_block.items()
            },
            found,
            request,
        )
        for part, of_part in members.items()
    }


def consistency(
    found: Findings, request: AuditRequest, experiment: Experiment, model: LoadedModel | None
) -> Consistency | None:
    """Return the shift consistency, if it was asked for, beside what is published of the ``model``."""
    measured = found.whole.get(CONSISTENCY)
    if measured is None:
        return None
    if "Final" in experiment.absent:  # what the model returns are no classes
        measured = Statistic(None, experiment.absent["Final"])
    return Consistency(
        draws=request.consistency_draws,
        offset_px=experiment.stream.side - experiment.views.size,
        value=measured.value,
        interval=None
        if measured.value is None or measured.deviations is None
        else share_interval(measured.value, measured.deviations, found.groups, request.consistency_draws),
        reason=measured.reason,
        published=published(model.name, model.weights.origin) if model else None,
    )


def _opinion(named: Mapping[str, Statistic], found: Findings, request: AuditRequest) -> SecondOpinion | None:
    opinion = SecondOpinion(
        deformation=tuple(
            _deformation(displacement_px, named, found)
            for displacement_px in (request.deformation.displacements_px if request.deformation else ())
        ),
        local_error={name: _magnitude(named[f"local/{name}"], found.groups) for name in GENERATORS if request.local},
        variance={
            name.removeprefix("variance/"): _magnitude(each, found.groups)
            for name, each in named.items()
            if name.startswith("variance/")
        },
    )
    return opinion if opinion != SecondOpinion() else None


def _deformation(displacement_px: float, named: Mapping[str, Statistic], found: Findings) -> DeformationRow:
    d, g, r = (named[f"{name}/{displacement_px:g}"] for name in ("deformation", "noise", "ratio"))
    gradient = found.whole[f"gradient/{displacement_px:g}"].value
    assert gradient is not None  # it is that of the fields, whatever the model does
    return DeformationRow(
        displacement_px=displacement_px,
        gradient=gradient,
        deformation=d.value,
        noise=g.value,
        ratio=r.value,
        ratio_interval=_interval(r, found.groups),
        reason=r.reason or d.reason or g.reason,
    )


def _magnitude(found: Statistic, groups: Sequence[int]) -> Magnitude:
    return Magnitude(value=found.value, interval=_interval(found, groups), reason=found.reason)


def _interval(found: Statistic, groups: Sequence[int]) -> tuple[float, float] | None:
    """Compute the 95 % confidence interval of a number from 0 on."""
    if found.value is None or found.deviations is None:
        return None
    half = half_width(found.deviations, groups)
    return None if half is None else (max(0.0, found.value - half), found.value + half)
