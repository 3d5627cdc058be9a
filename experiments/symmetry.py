"""Does training with a symmetry make features equivariant? (The thesis's section 4.2.1 and Figure 7.)

A network of 7 convolutions learns the digits of MNIST6 as they are, turned at random, or turned at random and asked for
the turn, too. All of them are audited on the same upright validation images.
"""

from collections.abc import Mapping, Sequence

from zooaudit.contract import SCORES, PartName, Report

from experiments.claims import MARGIN, POSITIVE, SIMILAR, Claim, claim
from experiments.data import mnist6, rotated
from experiments.estimates import between_parts, difference, layer_minus_channel
from experiments.figures import by_part
from experiments.lab import SEEDS, TURNS, Findings, Lab
from experiments.networks import TABLE_1, Network

PLAIN, INVARIANT, EQUIVARIANT = "MNIST6", "MNIST6-Rot-Inv", "MNIST6-Rot-Eq"
STEPS_DOWN: tuple[tuple[PartName, PartName], ...] = (("Early", "Middle"), ("Middle", "Late"))
EARLIER: tuple[PartName, ...] = ("Early", "Middle")
TURN_SEED = 0
SMALL_EPOCHS = 20


def run(lab: Lab) -> Findings:
    """Train 3 networks for each of the 3 tasks, and audit them under rotations."""
    plain = mnist6(lab.mnist())
    tasks = {
        PLAIN: plain,
        INVARIANT: rotated(plain, TURN_SEED, predicted=False),
        EQUIVARIANT: rotated(plain, TURN_SEED, predicted=True),
    }
    recipe = lab.recipe(TABLE_1, SMALL_EPOCHS)
    networks = {task: [Network("z2cnn", data, recipe, seed) for seed in SEEDS] for task, data in tasks.items()}
    by_task = lab.audit_all(networks, TURNS, on=plain)
    return Findings(
        figures={"figure-7": by_part("Rotation equivariance by the training's symmetry", by_task, "rotation")},
        claims=claims(by_task),
        networks=networks,
    )


def claims(by_task: Mapping[str, Sequence[Report]]) -> list[Claim]:
    """Decide what section 4.2.1 says; ``by_task`` has the reports of each task, one for each seed."""
    turned = (INVARIANT, EQUIVARIANT)
    return [
        claim(
            "4.2.1",
            "Rotation equivariance falls with depth until global pooling, whatever the task.",
            "score of a part minus score of the next, channel and layer",
            POSITIVE,
            {
                f"{task}, {name}: {first} - {second}": between_parts(reports, first, second, "rotation", name)
                for task, reports in by_task.items()
                for name in SCORES
                for first, second in STEPS_DOWN
            },
        ),
        claim(
            "4.2.1",
            "Where the training imposes the symmetry, the score is higher again at the end.",
            "layer score at Final minus Late",
            POSITIVE,
            {f"{task}": between_parts(by_task[task], "Final", "Late", "rotation", "layer") for task in turned},
        ),
        claim(
            "4.2.1",
            "Until Late, the task makes no difference to rotation equivariance.",
            f"channel and layer score of one task minus another, at most {MARGIN} either way",
            SIMILAR,
            {
                f"{first} - {second}, {part} {name}": difference(
                    by_task[first], by_task[second], part, "rotation", name
                )
                for first, second in ((INVARIANT, PLAIN), (EQUIVARIANT, PLAIN), (EQUIVARIANT, INVARIANT))
                for part in EARLIER
                for name in SCORES
            },
        ),
        claim(
            "4.2.1",
            "In Early and Middle, layer equivariance is much larger than channel equivariance: networks learn turned "
            "copies of a feature in other channels.",
            "layer minus channel",
            POSITIVE,
            {
                f"{task}, {part}": layer_minus_channel(reports, part, "rotation")
                for task, reports in by_task.items()
                for part in EARLIER
            },
        ),
    ]
