"""Which augmentations make features move with the image? (The thesis's section 4.2.2, Figures 8 and 9.)

A ResNet-44 learns CIFAR-10 under one augmentation at a time, and is audited under diagonal shifts of 1 to 16 pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from zooaudit.contract import PARTS, PartName, Report

from experiments.claims import MARGIN, NEGATIVE, POSITIVE, SIMILAR, Claim, claim
from experiments.estimates import Estimate, difference, layer_minus_channel, mean_of, over_seeds
from experiments.figures import by_part, by_shift
from experiments.lab import SEEDS, SHIFTS, Findings, Lab
from experiments.networks import TABLE_2, Augmentation, Network

LABELS: Mapping[Augmentation, str] = {
    "none": "no augmentation",
    "crops": "random crops",
    "flips": "horizontal flips",
    "cutmix": "CutMix",
    "randaugment": "RandAugment",
}
CELLS_PX: Mapping[PartName, int] = {"Middle": 2, "Late": 4}
"""The side of a cell of the maps in a part of a ResNet for CIFAR-10, in pixels of the image."""
SMALL_DEPTH, SMALL_WIDTH, SMALL_EPOCHS = 20, 8, 7

ByAugmentation = Mapping[Augmentation, Sequence[Report]]


def run(lab: Lab) -> Findings:
    """Train 3 networks with each augmentation, and audit them under shifts."""
    data, recipe = lab.cifar10(), lab.recipe(TABLE_2, SMALL_EPOCHS)
    small = {"depth": SMALL_DEPTH, "base_width": SMALL_WIDTH}
    model, arguments = lab.at_scale(full=("resnet44", {}), small=("resnet", small))
    networks = {
        augmentation: [
            Network(model, data, replace(recipe, augmentation=augmentation), seed, arguments) for seed in SEEDS
        ]
        for augmentation in LABELS
    }
    by_augmentation = lab.audit_all(networks, SHIFTS)
    labelled = {LABELS[augmentation]: reports for augmentation, reports in by_augmentation.items()}
    return Findings(
        figures={
            "figure-8": by_shift("Translation equivariance by shift", labelled, PARTS),
            "figure-9": by_part("Translation equivariance by augmentation", labelled, "translation"),
        },
        claims=claims(by_augmentation),
        networks={LABELS[augmentation]: of_kind for augmentation, of_kind in networks.items()},
    )


def claims(by_augmentation: ByAugmentation) -> list[Claim]:
    """Decide what section 4.2.2 and the thesis's list of contributions say."""
    deep: tuple[PartName, ...] = ("Middle", "Late", "Final")

    def gains(*augmentations: Augmentation, parts: Sequence[PartName] = deep) -> dict[str, Estimate]:
        return {
            f"{LABELS[each]}, {part}": difference(
                by_augmentation[each], by_augmentation["none"], part, "translation", "channel"
            )
            for each in augmentations
            for part in parts
        }

    gain = "channel score with the augmentation minus without any"
    return [
        claim(
            "4.2.2, Fig. 8",
            "Smaller maps break translation equivariance periodically: it is higher where the shift is a whole number "
            "of the map's cells.",
            "channel score under whole shifts minus the others, without augmentation",
            POSITIVE,
            {part: whole_minus_others(by_augmentation["none"], part) for part in CELLS_PX},
        ),
        claim(
            "4.2.2",
            "No augmentation solves this.",
            "channel score under whole shifts minus the others",
            POSITIVE,
            {
                f"{LABELS[each]}, {part}": whole_minus_others(reports, part)
                for each, reports in by_augmentation.items()
                if each != "none"
                for part in CELLS_PX
            },
        ),
        claim(
            "4.2.2",
            "Random crops and RandAugment increase translation equivariance in Middle, Late and Final.",
            gain,
            POSITIVE,
            gains("crops", "randaugment"),
        ),
        claim(
            "4.2.2",
            "Horizontal flips have no significant effect, nor has CutMix but in Middle.",
            f"{gain}, at most {MARGIN} either way",
            SIMILAR,
            gains("flips", parts=("Early", *deep)) | gains("cutmix", parts=("Early", "Late", "Final")),
        ),
        claim(
            "4.2.2",
            "CutMix decreases translation equivariance in Middle.",
            gain,
            NEGATIVE,
            gains("cutmix", parts=("Middle",)),
        ),
        claim(
            "1, contributions",
            "CutMix increases translation equivariance. (The thesis's section 4.2.2 says otherwise.)",
            gain,
            POSITIVE,
            gains("cutmix"),
        ),
        claim(
            "4.2.2",
            "Layer equals channel equivariance under every augmentation: networks do not represent shifts in other "
            "channels.",
            f"layer minus channel, at most {MARGIN}",
            SIMILAR,
            {
                f"{LABELS[each]}, {part}": layer_minus_channel(reports, part, "translation")
                for each, reports in by_augmentation.items()
                for part in PARTS
            },
        ),
    ]


def whole_minus_others(reports: Sequence[Report], part: PartName) -> Estimate:
    """Estimate how much higher channel equivariance is under shifts by whole cells; the interval is over seeds."""
    values = []
    for report in reports:
        rows = report.parts[part].translation.by_transform
        whole, others = (
            mean_of(row.channel for row in rows if (row.shift_px % CELLS_PX[part] == 0) is is_whole)
            for is_whole in (True, False)
        )
        values.append(None if whole is None or others is None else whole - others)
    return over_seeds(values)
