"""How equivariant are large pretrained models, and does it make them accurate? (The thesis's section 4.3, Figures 11 to
13.)

The models are audited through the client by a service, which is started unless there is one. The small scale has no
model hub: it takes small networks of several families, trained here on digits, as the operator's own architectures.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from zooaudit import AuditClient
from zooaudit.contract import PARTS, SCORES, TRANSFORMS, PartName, Report, ScoreName, TransformName
from zooaudit.results import Comparison
from zooaudit.views.figures import FigureDict, accuracy

from experiments.claims import MARGIN, NEGATIVE, POSITIVE, SIMILAR, Claim, claim
from experiments.estimates import Estimate, excess_lost, layer_minus_channel, mean_of, means_difference
from experiments.figures import by_part, correlations
from experiments.lab import SHIFTS, TURNS, VALIDATION_IMAGES, Findings, Lab
from experiments.networks import Network, Recipe
from experiments.progress import steps
from experiments.validation import validation_folder
from service.accuracy_statistics import spearman, spearman_interval
from service.stack import running

IMAGENET = "imagenet-val"
MODELS: Mapping[str, float] = {
    "timm/resnext101_32x8d.tv_in1k": 79.308,
    "timm/inception_v3.tv_in1k": 77.472,
    "timm/tf_efficientnet_b0.aa_in1k": 76.882,
    "timm/tf_efficientnet_b6.aa_in1k": 84.124,
    "timm/tf_efficientnet_b7.aa_in1k": 84.424,
    "timm/vit_base_patch16_224.augreg_in21k_ft_in1k": 84.534,
    "timm/mixer_b16_224.goog_in21k_ft_in1k": 76.616,
    "timm/resnet18.tv_in1k": 69.752,
    "timm/resnet50.tv_in1k": 76.156,
    "timm/resnet101.tv_in1k": 77.404,
    "timm/densenet121.tv_in1k": 74.750,
}
"""The families of the thesis, and models with a published shift consistency. The accuracies on ImageNet, in per cent,
are those of timm's results-imagenet.csv."""
CONSISTENCY: Mapping[str, float] = {
    "timm/resnext101_32x8d.tv_in1k": 91.33,
    "timm/resnet18.tv_in1k": 85.11,
    "timm/resnet50.tv_in1k": 89.20,
    "timm/resnet101.tv_in1k": 89.81,
    "timm/densenet121.tv_in1k": 88.81,
}
"""How often, in per cent, the top-1 class is the same in two windows of an image that are up to 32 px apart (Zhang
2019, of torchvision's first weights, on the whole validation set)."""
SMALL_RECIPE = Recipe("adam", learning_rate=0.002, l2=0.0, epochs=20, drops=(10, 15), batch_size=32)
SMALL_NETWORKS = ("small_plain_cnn", "small_resnet", "small_wide_resnet", "small_vit", "small_mixer")
OF_PATCHES = ("vit", "mixer")
"""The names of models contain one of these if only their patches are convolved."""
NO_RELATION = 0.3
LEAST_MODELS = 4
"""An interval of a rank correlation needs as many."""
OWN_SERVICE = dict.fromkeys(("ZOOAUDIT_REDIS_URL", "ZOOAUDIT_STORE", "ZOOAUDIT_API_KEYS", "ZOOAUDIT_HOST"), "")
"""Variables that are unset for a service that the experiment starts, so that it touches no other queue and store."""
BEFORE_POOLING: tuple[PartName, ...] = ("Early", "Middle", "Late")


@dataclass(frozen=True)
class Zoo:
    """The reports of the models by their names, and how their scores relate to their accuracies."""

    reports: Mapping[str, Report]
    comparison: Comparison

    def of_patches(self) -> list[Report]:
        """The models in which only patches are convolved: ViT and MLP-Mixer."""
        return [report for name, report in self.reports.items() if any(kind in name for kind in OF_PATCHES)]

    def convolutional(self) -> list[Report]:
        """All other models."""
        return [report for report in self.reports.values() if report not in self.of_patches()]


def run(lab: Lab) -> Findings:
    """Audit the models of the scale, and decide the claims of section 4.3 about them."""
    return _run_small(lab) if lab.scale == "small" else _run_full(lab)


def _run_full(lab: Lab) -> Findings:
    settings = {} if lab.data is None else {"ZOOAUDIT_DATASETS": f"{IMAGENET}={lab.data}"}
    requests = {model: {"model": model, "dataset": IMAGENET, "num_images": VALIDATION_IMAGES} for model in MODELS}
    with _client(lab, settings) as client:
        zoo = _audit(lab, client, requests, MODELS)
    against_accuracy = {"figure-13-models": accuracy(zoo.comparison)}
    return Findings(figures=figures(zoo) | against_accuracy, claims=claims(zoo), notes=consistency(zoo))


def _run_small(lab: Lab) -> Findings:
    data = lab.cifar10()
    networks = {model: Network(model, data, SMALL_RECIPE, seed=0) for model in SMALL_NETWORKS}
    lab.train_all(list(networks.values()))
    requests = {
        model: {
            "model": f"own/{model}",
            "weights": f"checkpoint:{network.name}",
            "dataset": data.name,
            "num_images": len(data.validation),
            **SHIFTS,
            "rotations_deg": TURNS["rotations_deg"],
        }
        for model, network in networks.items()
    }
    accuracies = {model: 100 * lab.network(network).accuracy for model, network in networks.items()}
    images = validation_folder(data, max(SHIFTS["translations_px"]), lab.out / "images")
    settings = {
        "ZOOAUDIT_MODELS": ",".join(f"{model}=experiments.models:{model}" for model in SMALL_NETWORKS),
        "ZOOAUDIT_CHECKPOINTS": str(lab.networks.absolute()),
        "ZOOAUDIT_DATASETS": f"{data.name}={images.absolute()}",
    }
    with _client(lab, settings) as client:
        zoo = _audit(lab, client, requests, accuracies)
    return Findings(
        figures=figures(zoo), claims=claims(zoo), networks={model: [network] for model, network in networks.items()}
    )


@contextmanager
def _client(lab: Lab, settings: Mapping[str, str]) -> Iterator[AuditClient]:
    """Give a client of the service that the lab names, or of one that runs with these settings until the block ends.

    The latter keeps its reports in the lab's folder, so that a killed experiment goes on.
    """
    if lab.url:
        with AuditClient(lab.url) as client:
            yield client
        return
    with running(lab.folder / "service", env=OWN_SERVICE | dict(settings)) as stack, AuditClient(stack.url) as client:
        yield client


def _audit(
    lab: Lab, client: AuditClient, requests: Mapping[str, Mapping[str, Any]], accuracies: Mapping[str, float]
) -> Zoo:
    """Let the service audit all models at once, and wait for their reports. Raises ZooauditError."""
    audits = {name: client.submit(**request) for name, request in requests.items()}
    reports = {}
    with steps(lab.name, len(audits)) as shown:
        for name, audit in audits.items():
            shown.begin(name)
            client.wait(audit.id)
            reports[name] = client.report(audit.id)
            lab.keep(reports[name], name.replace("/", "-"))
            shown.add(1)
    top1 = {reports[name].id: accuracy for name, accuracy in accuracies.items()}
    return Zoo(reports, client.compare(reports.values(), top1))


def figures(zoo: Zoo) -> dict[str, FigureDict]:
    """Draw Figures 11 to 13."""
    kinds = {name: [report] for name, report in zoo.reports.items()}
    panels: dict[str, dict[str, dict[PartName, Estimate]]] = {
        f"{transform.title()} equivariance": {
            score: {part: relation(zoo, part, transform, score) for part in PARTS} for score in SCORES
        }
        for transform in TRANSFORMS
    }
    return {
        "figure-11": by_part("Translation equivariance by model", kinds, "translation"),
        "figure-12": by_part("Rotation equivariance by model", kinds, "rotation"),
        "figure-13": correlations("Rank correlation of equivariance and accuracy", panels),
    }


def relation(zoo: Zoo, part: PartName, transform: TransformName, score: ScoreName) -> Estimate:
    """Return Spearman's rank correlation, over the models, of a score with their accuracy."""
    found = getattr(getattr(zoo.comparison.accuracy[part], transform), score)
    if found.spearman is not None and found.interval is None:
        return Estimate(value=found.spearman, interval=None, reason="no interval exists at 1 and -1")
    return Estimate(value=found.spearman, interval=found.interval, reason=found.reason)


def claims(zoo: Zoo) -> list[Claim]:
    """Decide what section 4.3 says."""
    parts: tuple[PartName, ...] = (*BEFORE_POOLING, "Final")
    lower = "channel score, mean over the convolutional networks minus mean over ViT and MLP-Mixer"
    return [
        claim(
            "4.3.1",
            "ViT and MLP-Mixer are less translation equivariant before pooling than convolutional networks.",
            lower,
            POSITIVE,
            {part: _convolution_minus_patches(zoo, part, "translation") for part in BEFORE_POOLING},
        ),
        claim(
            "4.3.1",
            "At Final they are as invariant to translation.",
            f"{lower}, at most {MARGIN} either way",
            SIMILAR,
            {"Final": _convolution_minus_patches(zoo, "Final", "translation")},
        ),
        claim(
            "4.3.1",
            "Layer equals channel equivariance under translation, in all models.",
            f"layer minus channel, at most {MARGIN}",
            SIMILAR,
            {
                f"{name}, {part}": layer_minus_channel([report], part, "translation")
                for name, report in zoo.reports.items()
                for part in parts
            },
        ),
        *_claims_on_efficientnets(zoo),
        claim(
            "4.3.1",
            "Models that are more translation equivariant before pooling are more invariant at Final.",
            "Spearman's rank correlation, over the models, of the mean channel score before pooling and that at Final",
            POSITIVE,
            {"translation": before_and_after(zoo, "translation")},
        ),
        claim(
            "4.3.2",
            "With rotation it is the other way round.",
            "Spearman's rank correlation, over the models, of the mean channel score before pooling and that at Final",
            NEGATIVE,
            {"rotation": before_and_after(zoo, "rotation")},
        ),
        claim(
            "4.3.2",
            "ViT and MLP-Mixer are less rotation equivariant before pooling.",
            lower,
            POSITIVE,
            {part: _convolution_minus_patches(zoo, part, "rotation") for part in BEFORE_POOLING},
        ),
        claim(
            "4.3.2",
            "Under rotation, layer exceeds channel equivariance in Early.",
            "layer minus channel",
            POSITIVE,
            {name: layer_minus_channel([report], "Early", "rotation") for name, report in zoo.reports.items()},
        ),
        claim(
            "4.3.2",
            "The difference diminishes with depth.",
            "layer minus channel in Early, less that in Late",
            POSITIVE,
            {name: excess_lost([report], "Early", "Late", "rotation") for name, report in zoo.reports.items()},
        ),
        claim(
            "4.3.2",
            "The difference is almost gone in Late.",
            f"layer minus channel, at most {MARGIN}",
            SIMILAR,
            {name: layer_minus_channel([report], "Late", "rotation") for name, report in zoo.reports.items()},
        ),
        claim(
            "4.3.3, Fig. 13",
            "Invariance at Final goes with accuracy, under translation and rotation.",
            "Spearman's rank correlation of channel score and accuracy",
            POSITIVE,
            {transform: relation(zoo, "Final", transform, "channel") for transform in TRANSFORMS},
        ),
        claim(
            "4.3.3, Fig. 13",
            "Translation equivariance goes with accuracy before pooling, too.",
            "Spearman's rank correlation of channel score and accuracy",
            POSITIVE,
            {part: relation(zoo, part, "translation", "channel") for part in BEFORE_POOLING},
        ),
        claim(
            "4.3.3, Fig. 13",
            "Before pooling, rotation equivariance does not go with accuracy.",
            f"Spearman's rank correlation of channel score and accuracy, at most {NO_RELATION} either way",
            (-NO_RELATION, NO_RELATION),
            {part: relation(zoo, part, "rotation", "channel") for part in BEFORE_POOLING},
        ),
    ]


def _claims_on_efficientnets(zoo: Zoo) -> list[Claim]:
    """Decide what is said of EfficientNets, if the zoo has some."""
    efficient = [report for name, report in zoo.reports.items() if "efficientnet" in name]
    others = [report for report in zoo.convolutional() if report not in efficient]
    if not efficient:
        return []
    return [
        claim(
            "4.3.1",
            "EfficientNets are the most translation equivariant of all, throughout their depth.",
            "channel score, mean over EfficientNets minus mean over the other convolutional networks",
            POSITIVE,
            {part: means_difference(efficient, others, part, "translation", "channel") for part in BEFORE_POOLING},
        )
    ]


def before_and_after(zoo: Zoo, transform: TransformName) -> Estimate:
    """Relate, over the models, the mean channel score before pooling with that at Final, by Spearman's rho."""
    pairs = []
    for report in zoo.reports.values():
        before = mean_of(getattr(report.parts[part], transform).channel for part in BEFORE_POOLING)
        after = getattr(report.parts["Final"], transform).channel
        if before is not None and after is not None:
            pairs.append((before, after))
    if len(pairs) < LEAST_MODELS:
        return Estimate(value=None, interval=None, reason=f"fewer than {LEAST_MODELS} models")
    before_all, after_all = np.array(pairs).T
    if np.ptp(before_all) == 0 or np.ptp(after_all) == 0:
        return Estimate(value=None, interval=None, reason="all models score the same")
    rho, _ = spearman(before_all, after_all)
    return Estimate(value=rho, interval=spearman_interval(rho, len(pairs)))


def _convolution_minus_patches(zoo: Zoo, part: PartName, transform: TransformName) -> Estimate:
    return means_difference(zoo.convolutional(), zoo.of_patches(), part, transform, "channel")


def consistency(zoo: Zoo) -> list[str]:
    """Make a table of the published shift consistencies beside the agreement that was measured here."""
    lines = [
        "| Model | Published consistency under random shifts, % | Measured top-1 agreement under diagonal shifts, % |",
        "|---|---|---|",
    ]
    for name, published in CONSISTENCY.items():
        rows = zoo.reports[name].parts["Final"].translation.by_transform
        agreement = mean_of(row.top1_agreement for row in rows)
        measured = "not measured" if agreement is None else f"{100 * agreement:.2f}"
        lines.append(f"| {name} | {published:.2f} | {measured} |")
    return lines
