"""A network before it is trained: what makes it, down to the seed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from experiments import models
from experiments.data import Data

Augmentation = Literal["none", "crops", "flips", "cutmix", "randaugment"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The learning rate falls tenfold after each of the epochs ``drops``."""

    optimizer: Literal["adam", "sgd"]
    learning_rate: float
    l2: float
    epochs: int
    drops: tuple[int, ...]
    batch_size: int = 128
    augmentation: Augmentation = "none"

    def shortened(self, epochs: int, batch_size: int) -> "Recipe":
        """Train for ``epochs`` only; the drops come at the same shares of the training."""
        drops = tuple(round(drop * epochs / self.epochs) for drop in self.drops)
        return replace(self, epochs=epochs, drops=drops, batch_size=batch_size)


OVERHEAD = 20_000_000
"""The number of floating-point operations that take as long as all else in a forward pass of one image, which is most
of the time of the smallest networks."""
TABLE_1 = Recipe("adam", learning_rate=0.01, l2=5e-4, epochs=100, drops=(25, 50))
"""The thesis's Table 1, for the network of 7 convolutions."""
TABLE_2 = Recipe("sgd", learning_rate=0.1, l2=1e-4, epochs=200, drops=(100, 150))
"""The thesis's Table 2, for ResNet-44 and WideResNet-40; the momentum is 0.9."""


@dataclass(frozen=True)
class Network:
    """One network to train: a function of :mod:`experiments.models` with its ``arguments``, data, recipe and seed."""

    model: str
    data: Data
    recipe: Recipe
    seed: int
    arguments: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        """A name that no network which is made in another way has."""
        made_of = {
            "model": self.model,
            "arguments": dict(sorted(self.arguments.items())),
            "data": self.data.sha256,
            "recipe": asdict(self.recipe),
            "seed": self.seed,
        }
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        return f"{self.model}-{self.data.name}-{self.recipe.augmentation}-{self.seed}-{digest[:12]}"

    def build(self) -> nn.Module:
        """Build it with the weights that its seed draws."""
        torch.manual_seed(self.seed)
        module: nn.Module = getattr(models, self.model)(**self.arguments, num_classes=sum(self.data.classes))
        return module

    @cached_property
    def work(self) -> int:
        """About how long a forward pass of one image takes, in the time of a floating-point operation."""
        with torch.device("meta"):
            module = self.build().eval()
            image = torch.zeros(1, 3, self.data.side, self.data.side)
        with FlopCounterMode(display=False) as counter:
            module(image)
        return OVERHEAD + int(counter.get_total_flops())
