"""The training of a network. One that is killed goes on after its last finished epoch."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import MultiStepLR
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.transforms import v2

from experiments.data import Data, Images
from experiments.files import write_whole
from experiments.networks import Augmentation, Network, Recipe

OnEpoch = Callable[[int], None]
"""Is called with the number of an epoch, from 0, when it has ended."""
Batch = tuple[Tensor, Tensor]
MOMENTUM = 0.9
CROP_PADDING = 4
"""By how many pixels images are padded before a random crop (He et al. 2015)."""


class TrainingError(Exception):
    """A network cannot be trained, or read where it is kept; the message says what to do."""


@dataclass(frozen=True)
class Trained:
    """A trained network in eval mode on the CPU, and the share of the validation images that it classifies rightly."""

    module: nn.Module
    accuracy: float


def trained(network: Network, folder: Path, device: torch.device, on_epoch: OnEpoch = lambda _epoch: None) -> Trained:
    """Return the network from ``folder``; train it first unless the folder has it. Raises TrainingError.

    The folder keeps it as NAME.safetensors, with NAME.json beside it, so that a worker whose checkpoints are in this
    folder can audit it as ``checkpoint:NAME``.
    """
    file = folder / f"{network.name}.safetensors"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        state_file = folder / f"{network.name}.unfinished"
        _keep(network, _train(network, state_file, device, on_epoch), file)
        state_file.unlink(missing_ok=True)
    module = network.build()
    with _naming(file):
        module.load_state_dict(load_file(file))
        with safe_open(file, "pt") as opened:
            return Trained(module.eval(), float(opened.metadata()["accuracy"]))


def epochs_done(network: Network, folder: Path) -> int:
    """Count the epochs of the network's training that need not be done again."""
    if (folder / f"{network.name}.safetensors").exists():
        return network.recipe.epochs
    state_file = folder / f"{network.name}.unfinished"
    return int(_read(state_file)["epochs"]) if state_file.exists() else 0


def _train(network: Network, state_file: Path, device: torch.device, on_epoch: OnEpoch) -> nn.Module:
    recipe = network.recipe
    # Not channels_last: with less than 8 channels, torch 2.15's backward pass on a CPU writes beyond its memory.
    module = network.build().to(device)
    optimizer = _optimizer(module, recipe)
    schedule = MultiStepLR(optimizer, list(recipe.drops), gamma=0.1)
    parts: dict[str, Any] = {"module": module, "optimizer": optimizer, "schedule": schedule}
    done = 0
    if state_file.exists():
        state = _read(state_file)
        done = state["epochs"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    for epoch in range(done, recipe.epochs):
        _train_epoch(module.train(), optimizer, network, epoch, device)
        schedule.step()
        if not all(bool(weights.isfinite().all()) for weights in module.parameters()):
            raise TrainingError(
                f"The training of {network.name} has diverged in epoch {epoch + 1}: lower its learning rate."
            )
        state = {name: part.state_dict() for name, part in parts.items()}
        write_whole(state_file, partial(torch.save, {**state, "epochs": epoch + 1}))
        on_epoch(epoch)
    return module.eval()


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.Adam(module.parameters(), recipe.learning_rate, weight_decay=recipe.l2, fused=True)
    return torch.optim.SGD(
        module.parameters(), recipe.learning_rate, momentum=MOMENTUM, weight_decay=recipe.l2, fused=True
    )


def _train_epoch(
    module: nn.Module, optimizer: torch.optim.Optimizer, network: Network, epoch: int, device: torch.device
) -> None:
    data, recipe = network.data, network.recipe
    seed = network.seed * 1_000_003 + epoch  # what an epoch draws does not depend on where a training was resumed
    torch.manual_seed(seed)
    loader: DataLoader[Batch] = DataLoader(
        _Augmented(data.training, _transform(recipe.augmentation, data)),
        recipe.batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
        num_workers=min(8, os.cpu_count() or 1) if device.type == "cuda" else 0,
        collate_fn=_collate(recipe.augmentation, data.classes),
        pin_memory=device.type == "cuda",
    )
    for pixels, targets in loader:
        optimizer.zero_grad(set_to_none=True)
        logits = module(normalised(pixels.to(device, non_blocking=True), data))
        torch.autograd.backward(_loss(logits, targets.to(device, non_blocking=True), data.classes))
        optimizer.step()


class _Augmented(Dataset[Batch]):
    """Images, each transformed anew whenever it is read."""

    def __init__(self, images: Images, transform: Callable[[Tensor], Tensor]) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        return self.transform(self.images.pixels[index]), self.images.labels[index]


def _transform(augmentation: Augmentation, data: Data) -> Callable[[Tensor], Tensor]:
    """Return torchvision's transform of one image. What comes in from beyond the border has the mean colour."""
    fill = [round(255 * value) for value in data.mean]
    transforms: dict[Augmentation, Callable[[Tensor], Tensor]] = {
        "crops": v2.RandomCrop(data.side, padding=CROP_PADDING, fill=fill),
        "flips": v2.RandomHorizontalFlip(),
        "randaugment": v2.RandAugment(fill=fill),
    }
    return transforms.get(augmentation, lambda pixels: pixels)


def _collate(augmentation: Augmentation, classes: Sequence[int]) -> Callable[[list[Batch]], Batch]:
    """Return a function that makes a batch of images; CutMix makes the labels shares of classes."""
    if augmentation != "cutmix":
        return default_collate
    (number,) = classes
    cutmix = v2.CutMix(num_classes=number)

    def mixed(batch: list[Batch]) -> Batch:
        pixels, labels = default_collate(batch)
        mixed_pixels, shares = cutmix(pixels, labels[:, 0])
        return mixed_pixels, shares

    return mixed


def normalised(pixels: Tensor, data: Data) -> Tensor:
    """Bring pixels (N, 3, side, side) uint8 to the mean 0 and the standard deviation 1 of the training images."""
    mean, std = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (data.mean, data.std))
    return (pixels / 255 - mean) / std


def _loss(logits: Tensor, targets: Tensor, classes: Sequence[int]) -> Tensor:
    """Add up the cross entropies of all questions. ``targets`` are classes (N, questions), or shares (N, classes)."""
    if targets.is_floating_point():
        return functional.cross_entropy(logits, targets)
    answers = torch.split(logits, list(classes), 1)
    return torch.stack(
        [functional.cross_entropy(answer, target) for answer, target in zip(answers, targets.unbind(1), strict=True)]
    ).sum()


@torch.inference_mode()
def _accuracy(module: nn.Module, data: Data) -> float:
    """Compute the share of the validation images for which the answer to the first question is right."""
    device = next(module.parameters()).device
    images, right = data.validation, 0
    for pixels, labels in zip(*(torch.split(each, 500) for each in (images.pixels, images.labels)), strict=True):
        logits = module(normalised(pixels.to(device), data))
        right += int((logits[:, : data.classes[0]].argmax(1).cpu() == labels[:, 0]).sum())
    return right / len(images)


def _keep(network: Network, module: nn.Module, file: Path) -> None:
    """Write the network's weights and what a worker must know about them; the weights come last, and whole."""
    data = network.data
    options = {"num_classes": sum(data.classes), "input_size": data.side, "mean": data.mean, "std": data.std}
    write_whole(file.with_suffix(".json"), lambda path: path.write_text(json.dumps(options) + "\n", "utf-8"))
    made_of = {"data": data.name, "arguments": dict(network.arguments), "recipe": asdict(network.recipe)}
    metadata = {"accuracy": repr(_accuracy(module, data)), "made_of": json.dumps(made_of), "torch": torch.__version__}
    tensors = {name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}
    write_whole(file, lambda path: save_file(tensors, path, metadata))


def _read(state_file: Path) -> dict[str, Any]:
    with _naming(state_file):
        state: dict[str, Any] = torch.load(state_file, map_location="cpu", weights_only=True)
    return state


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Make a TrainingError of whatever reading a broken file raises."""
    try:
        yield
    except Exception as error:
        raise TrainingError(f"{file} is broken ({error}): delete it, and the network is trained anew.") from error
