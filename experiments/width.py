"""Are the features of smaller networks more equivariant? (The thesis's section 4.2.3 and Figure 10.)

WideResNet-40 of four widths learns CIFAR-10 without augmentation, and is audited under diagonal shifts of 1 to 16 px.
"""

from collections.abc import Mapping, Sequence

from zooaudit.contract import SCORES, PartName, Report

from experiments.claims import MARGIN, POSITIVE, SIMILAR, Claim, claim
from experiments.estimates import difference
from experiments.figures import by_part
from experiments.lab import SEEDS, SHIFTS, Findings, Lab
from experiments.networks import TABLE_2, Network

WIDTHS = (1, 2, 4, 8)
SMALL_DEPTH, SMALL_BASE_WIDTH, SMALL_EPOCHS = 10, 4, 10


def run(lab: Lab) -> Findings:
    """Train 3 networks of each width, and audit them under shifts. (The thesis trains one of each.)"""
    data, recipe = lab.cifar10(), lab.recipe(TABLE_2, SMALL_EPOCHS)
    small = {"depth": SMALL_DEPTH, "base_width": SMALL_BASE_WIDTH}
    model, arguments = lab.at_scale(full=("wide_resnet40", {}), small=("wide_resnet", small))
    networks = {
        width: [Network(model, data, recipe, seed, {**arguments, "width": width}) for seed in SEEDS] for width in WIDTHS
    }
    by_width = lab.audit_all(networks, SHIFTS)
    labelled = {f"width {width}": reports for width, reports in by_width.items()}
    return Findings(
        figures={"figure-10": by_part("Translation equivariance by width", labelled, "translation")},
        claims=claims(by_width),
        networks={f"width {width}": of_kind for width, of_kind in networks.items()},
    )


def claims(by_width: Mapping[int, Sequence[Report]]) -> list[Claim]:
    """Decide what section 4.2.3 says."""
    narrow, *_, wide = (by_width[width] for width in WIDTHS)
    before_pooling: tuple[PartName, ...] = ("Early", "Middle", "Late")
    statistic = f"score of width {WIDTHS[0]} minus width {WIDTHS[-1]}"
    return [
        claim(
            "4.2.3",
            "The wider the network, the lower its translation equivariance before pooling.",
            statistic,
            POSITIVE,
            {
                f"{part} {name}": difference(narrow, wide, part, "translation", name)
                for part in before_pooling
                for name in SCORES
            },
        ),
        claim(
            "4.2.3",
            "The invariance at the end is similar for all widths.",
            f"{statistic}, at most {MARGIN} either way",
            SIMILAR,
            {f"Final {name}": difference(narrow, wide, "Final", "translation", name) for name in SCORES},
        ),
    ]
