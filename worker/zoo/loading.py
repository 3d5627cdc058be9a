"""From a name to a model that can be measured: its preprocessing, its module with the weights, and its depth."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn
from zooaudit.contract import CatalogueEntry, Code, Progress, Source, Weights

from worker.depth import Depth, find_depth, unused_entries
from worker.errors import FAULTS, AuditError, explaining
from worker.images import Preprocessing
from worker.zoo.catalogue import ZOOS, require_published, resolve
from worker.zoo.checkpoints import Checkpoint, open_checkpoint
from worker.zoo.download import OnProgress
from worker.zoo.weights import parameter_count, tensors_sha256


@dataclass(frozen=True)
class LoadedModel:
    """A model in eval mode on the CPU, with all that a report states about it.

    ``initialised(seed)`` builds the same architecture untrained; it is None where nobody knows how to build it.
    ``code`` is that of the operator's own architectures.
    """

    name: str
    source: Source
    family: str
    architecture: str
    module: nn.Module
    depth: Depth
    preprocessing: Preprocessing
    weights: Weights
    imagenet_top1: float | None
    parameters: int
    initialised: Callable[[int], nn.Module] | None = None
    code: Code | None = None


def load(
    name: str,
    weights: str,
    on_progress: OnProgress,
    checkpoints: str | Path | None = None,
    input_size: int | None = None,
) -> LoadedModel:
    """Load a zoo's model by name with "pretrained", "untrained" (seed 0) or "checkpoint:NAME" weights.

    ``checkpoints`` is the folder or bucket of the operator's files; ``input_size`` builds an untrained model for
    another size than the zoo's. Raises AuditError, which says what to do, rather than load anything else.
    """
    full = resolve(name)
    zoo = ZOOS[full.source]
    entry = zoo.entry(full.architecture)
    if not entry.supported:
        raise AuditError("unsupported-model", f"{entry.name}: {entry.reason}.")
    on_progress(Progress(phase="loading"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision announces that its default initialisation will change.
        checkpoint = None
        if weights.startswith("checkpoint:"):
            checkpoint = open_checkpoint(weights.removeprefix("checkpoint:"), checkpoints, on_progress)
            input_size = checkpoint.options.input_size
        build = partial(zoo.build, full, input_size=input_size)
        if weights == "pretrained":
            require_published(full, entry)
            module, provenance = zoo.fetch(full, on_progress)
            with _explaining(str(full), entry):
                untrained = _untrained(build, 0)
        with _explaining(str(full), entry, input_size, checkpoint):
            if weights != "pretrained":
                module = untrained = _untrained(build, 0)
                provenance = checkpoint.weights if checkpoint else _weights_of_seed_0(module)
            preprocessing = zoo.preprocessing(full, module).changed(input_size)
            if checkpoint:
                preprocessing = preprocessing.changed(**checkpoint.options.normalisation())
            # Trained attention moves what it sees; only untrained weights show how outputs are laid out.
            depth = find_depth(untrained, preprocessing.input_size)
            if checkpoint:
                build = partial(build, num_classes=checkpoint.classes(depth.classifiers))
                # A new module: LeViT and others that have run once keep values computed from the weights they had.
                module = _untrained(build, 0)
                provenance = checkpoint.load_into(module, partial(unused_entries, untrained, preprocessing.input_size))
    return LoadedModel(
        name=str(full),
        source=entry.source,
        family=entry.family,
        architecture=full.architecture,
        module=module.eval(),
        depth=depth,
        preprocessing=preprocessing,
        weights=provenance,
        imagenet_top1=entry.imagenet_top1 if weights == "pretrained" else None,
        parameters=parameter_count(module),
        initialised=partial(_untrained, build),
        code=zoo.code(full, module),
    )


def _explaining(
    name: str, entry: CatalogueEntry, input_size: int | None = None, checkpoint: Checkpoint | None = None
) -> AbstractContextManager[None]:
    """Make an AuditError of what the zoo's code raises when it builds the model, or first runs it."""
    own_size = entry.input_size
    faults = Exception if entry.source == "own" else FAULTS
    slug, advice = "unsuitable-model", "Audit another model, or update the zoo."
    if entry.source == "own":
        slug, advice = "unsuitable-module", "Let the operator correct it, or the input_size of its pretrained_cfg."
    failure = f"{name} cannot be built and run on images of {own_size} px"
    if input_size not in (None, own_size):
        failure = f"{name} cannot take images of {input_size} px; its own are of {own_size} px"
        advice = "Ask for another size."
        if checkpoint:
            slug, failure = "checkpoint-options", f"checkpoint:{checkpoint.name}: {failure}"
            advice = f"Correct input_size in {checkpoint.name}.json to a size that this architecture can take."
    return explaining(slug, failure, advice, faults)


def _untrained(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build the module in eval mode, with the weights that its own code draws under ``seed`` on the CPU."""
    torch.manual_seed(seed)
    return build().eval()


def _weights_of_seed_0(module: nn.Module) -> Weights:
    return Weights(kind="untrained", origin="torch.manual_seed(0)", sha256=tensors_sha256(module))
