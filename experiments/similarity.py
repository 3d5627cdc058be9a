"""Why correlation, and not cosine similarity? (The thesis's section 4.1.1 and Figure 5.)

A ResNet-44 learns CIFAR-10. Its channel equivariance under a quarter turn is measured after each block by either
similarity, beside the block's mean activation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from scipy.stats import pearsonr  # type: ignore[import-untyped]
from torch import Tensor, nn
from zooaudit.contract import Report

from experiments.claims import POSITIVE, Claim, claim
from experiments.data import Data
from experiments.estimates import Estimate, block_score, over_seeds
from experiments.figures import by_block
from experiments.lab import SEEDS, Findings, Lab
from experiments.models import Residual
from experiments.networks import TABLE_2, Network
from experiments.training import normalised

Similarity = Literal["correlation", "cosine"]
SIMILARITIES: tuple[Similarity, ...] = ("correlation", "cosine")
SMALL_WIDTH, SMALL_EPOCHS = 8, 10


def run(lab: Lab) -> Findings:
    """Train 3 networks, and audit each by both similarities. (The thesis trains one.)"""
    data, recipe = lab.cifar10(), lab.recipe(TABLE_2, SMALL_EPOCHS)
    small = {"depth": 44, "base_width": SMALL_WIDTH}
    model, arguments = lab.at_scale(full=("resnet44", {}), small=("resnet", small))
    networks = {model: [Network(model, data, recipe, seed, arguments) for seed in SEEDS]}
    by_similarity: dict[Similarity, list[Report]] = {}
    for similarity in SIMILARITIES:
        request = {"translations_px": (), "rotations_deg": (90,), "similarity": similarity}
        by_similarity[similarity] = residual_blocks(lab.audit_all(networks, request)[model], networks[model][0])
    blocks = [block.name for block in by_similarity["cosine"][0].blocks]
    magnitudes = [mean_activations(lab.network(network).module, data, blocks) for network in networks[model]]
    curves: dict[str, list[Estimate]] = {
        similarity: [block_score(reports, index, "rotation", "channel") for index in range(len(blocks))]
        for similarity, reports in by_similarity.items()
    }
    curves["mean activation, 1 for the highest"] = [
        over_seeds([network[index] / max(network) for network in magnitudes]) for index in range(len(blocks))
    ]
    names = [str(index + 1) for index in range(len(blocks))]
    title = "Channel equivariance under 90 degrees after each residual block"
    return Findings(
        figures={"figure-5": by_block(title, {"": curves}, names)},
        claims=claims(by_similarity, magnitudes),
        networks=networks,
    )


def residual_blocks(reports: Sequence[Report], network: Network) -> list[Report]:
    """Leave out of the reports what is measured after the first convolution and after the last block."""
    modules = dict(network.build().named_modules())
    return [
        report.model_copy(
            update={"blocks": tuple(block for block in report.blocks if isinstance(modules[block.name], Residual))}
        )
        for report in reports
    ]


@torch.inference_mode()
def mean_activations(module: nn.Module, data: Data, blocks: Sequence[str]) -> list[float]:
    """Compute the mean activation of each block over the validation images."""
    totals = dict.fromkeys(blocks, 0.0)

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def add(_module: nn.Module, _input: tuple[Tensor, ...], output: Tensor) -> None:
            totals[name] += float(output.double().flatten(1).mean(1).sum())

        return add

    handles = [module.get_submodule(name).register_forward_hook(watch(name)) for name in blocks]
    try:
        for pixels in torch.split(data.validation.pixels, 500):
            module(normalised(pixels, data))
    finally:
        for handle in handles:
            handle.remove()
    return [total / len(data.validation) for total in totals.values()]


def claims(by_similarity: Mapping[Similarity, Sequence[Report]], magnitudes: Sequence[Sequence[float]]) -> list[Claim]:
    """Decide what section 4.1.1 says; ``magnitudes`` has the mean activation of each block, for each seed."""
    related = {similarity: relation(reports, magnitudes) for similarity, reports in by_similarity.items()}
    differences = [
        None if cosine is None or correlation is None else cosine - correlation
        for cosine, correlation in zip(related["cosine"], related["correlation"], strict=True)
    ]
    pearson = "Pearson's correlation, over blocks, of channel score and mean activation"
    return [
        claim(
            "4.1.1, Fig. 5",
            "Scores by cosine similarity follow the mean activation. (In the thesis: 0.63.)",
            f"{pearson}, for cosine similarity",
            POSITIVE,
            {"90 degrees": over_seeds(related["cosine"])},
        ),
        claim(
            "4.1.1, Fig. 5",
            "Scores by correlation follow it less. (In the thesis: 0.11.)",
            f"{pearson}: for cosine similarity minus for correlation",
            POSITIVE,
            {"90 degrees": over_seeds(differences)},
        ),
    ]


def relation(reports: Sequence[Report], magnitudes: Sequence[Sequence[float]]) -> list[float | None]:
    """Compute, for each seed, Pearson's correlation of the blocks' channel scores with their mean activations."""
    relations: list[float | None] = []
    for report, magnitude in zip(reports, magnitudes, strict=True):
        scores = [block.rotation.channel for block in report.blocks[: len(magnitude)]]
        known = [(score, mean) for score, mean in zip(scores, magnitude, strict=True) if score is not None]
        relations.append(float(pearsonr(*zip(*known, strict=True)).statistic) if len(known) > 2 else None)
    return relations
