"""What an experiment leaves: its figures, and its claims with what was measured."""

from collections.abc import Iterator, Sequence

from zooaudit.contract.base import Contract
from zooaudit.views.figures.plotly_output import save

from experiments.claims import Claim
from experiments.estimates import Estimate
from experiments.files import write_text
from experiments.lab import Findings, Lab, Scale
from experiments.networks import Network

RESULT_FILE = "claims.json"


class TrainedKind(Contract):
    """The networks of one kind, which differ by their seeds. ``accuracies`` are shares of the validation images."""

    kind: str
    model: str
    data: str
    training_images: int
    validation_images: int
    epochs: int
    accuracies: tuple[float, ...]


class Result(Contract):
    """What an experiment has found, and the command that finds it again."""

    experiment: str
    scale: Scale
    command: str
    figures: tuple[str, ...]
    networks: tuple[TrainedKind, ...]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]


def write_findings(lab: Lab, findings: Findings) -> Result:
    """Write the claims as JSON and Markdown, and the figures as HTML and PNG.

    Raises RuntimeError where no PNG can be made; all else has been written then.
    """
    result = Result(
        experiment=lab.name,
        scale=lab.scale,
        command=lab.command,
        figures=tuple(findings.figures),
        networks=tuple(_trained_kind(lab, kind, networks) for kind, networks in findings.networks.items()),
        claims=tuple(findings.claims),
        notes=tuple(findings.notes),
    )
    write_text(lab.folder / RESULT_FILE, result.model_dump_json(indent=1))
    write_text(lab.folder / "claims.md", "\n".join(markdown(result)))
    for name, figure in findings.figures.items():
        save(figure, html=lab.folder / f"{name}.html", shares_script=True)
    for name, figure in findings.figures.items():
        save(figure, png=lab.folder / f"{name}.png")
    return result


def _trained_kind(lab: Lab, kind: str, networks: Sequence[Network]) -> TrainedKind:
    first = networks[0]
    return TrainedKind(
        kind=kind,
        model=", ".join([first.model, *(f"{name} {value}" for name, value in first.arguments.items())]),
        data=first.data.name,
        training_images=len(first.data.training),
        validation_images=len(first.data.validation),
        epochs=first.recipe.epochs,
        accuracies=tuple(lab.network(network).accuracy for network in networks),
    )


def markdown(result: Result) -> Iterator[str]:
    """Yield the lines of the tables of the claims and of the networks."""
    yield "| Section | Claim | Statistic | Measured, with 95 % interval | Verdict |"
    yield "|---|---|---|---|---|"
    for claim in result.claims:
        measured = "<br>".join(f"{case.case}: {_text(case.estimate)}" for case in claim.measured)
        yield f"| {claim.source} | {claim.sentence} | {claim.statistic} | {measured} | **{claim.verdict.value}** |"
    if result.networks:
        yield ""
        yield "| Networks | Model | Trained on | Epochs | Accuracy by seed |"
        yield "|---|---|---|---|---|"
    for kind in result.networks:
        accuracies = ", ".join(f"{accuracy:.3f}" for accuracy in kind.accuracies)
        images = f"{kind.training_images:,} images of {kind.data}, validated on {kind.validation_images:,}"
        yield f"| {kind.kind} | {kind.model} | {images} | {kind.epochs} | {accuracies} |"
    if result.notes:
        yield ""
        yield from result.notes


def _text(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"not measured, {estimate.reason}"
    if estimate.interval is None:
        return f"{estimate.value:.3f} ({estimate.reason})"
    low, high = estimate.interval
    return f"{estimate.value:.3f} [{low:.3f}, {high:.3f}]"
