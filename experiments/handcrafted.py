"""Does the measure find equivariance where it is built in? (The thesis's section 4.1.2 and Figure 6.)

Two networks of the calibration have kernels written by hand: in one, each kernel is the same from all four sides; in
the other, the channels have turned copies of one kernel.
"""

from collections.abc import Mapping, Sequence

from zooaudit.contract import ScoreName

from experiments.claims import Claim, claim
from experiments.estimates import Estimate, block_score
from experiments.figures import by_block
from experiments.lab import Findings, Lab
from experiments.progress import steps
from worker.calibrate import NETWORKS, audit
from worker.known.networks import EXACT

ISOTROPIC, TURNED = "gaussian-kernels", "rotated-copies"
SCORE: Mapping[str, ScoreName] = {ISOTROPIC: "channel", TURNED: "layer"}
"""Which of its scores is 1 in theory."""
LABELS = {ISOTROPIC: "isotropic kernels", TURNED: "turned copies"}
LAYERS = ("layer 1", "layer 2", "layer 3")


def run(lab: Lab) -> Findings:
    """Audit both networks under rotations. Nothing is trained: ``--scale`` has no effect."""
    scores: dict[str, list[Estimate]] = {}
    with steps(lab.name, len(SCORE)) as shown:
        for known in NETWORKS:
            if known.name in SCORE:
                shown.begin(known.name)
                report = audit(known, str(lab.device))
                lab.keep(report, known.name)
                scores[known.name] = [
                    block_score([report], layer, "rotation", SCORE[known.name]) for layer in range(len(LAYERS))
                ]
                shown.add(1)
    panels = {f"{SCORE[name].title()} equivariance": {LABELS[name]: scores[name]} for name in SCORE}
    title = "Rotation equivariance of kernels written by hand"
    return Findings(figures={"figure-6": by_block(title, panels, LAYERS)}, claims=claims(scores))


def claims(scores: Mapping[str, Sequence[Estimate]]) -> list[Claim]:
    """Decide what section 4.1.2 says; ``scores`` has those of each layer that are 1 in theory."""
    sentences = {
        ISOTROPIC: "Kernels that are the same from all sides score perfect channel equivariance.",
        TURNED: "Turned copies of one kernel score perfect layer equivariance.",
    }
    return [
        claim(
            "4.1.2, Fig. 6",
            sentence,
            f"{SCORE[name]} score, at least 1 - {EXACT:g}",
            (1 - EXACT, 1.0),
            dict(zip(LAYERS, scores[name], strict=True)),
        )
        for name, sentence in sentences.items()
    ]
