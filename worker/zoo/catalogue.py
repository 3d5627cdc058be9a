"""The zoos: what each one offers, all that they have, and which model a name means."""

from collections.abc import Mapping
from typing import Final, Protocol

from torch import nn
from zooaudit.contract import CatalogueEntry, ModelName, Weights, close_names, full_names, published_relatives

from worker.errors import AuditError
from worker.images import Preprocessing
from worker.zoo import timm, torchvision
from worker.zoo.download import OnProgress


class Zoo(Protocol):
    """What the module of a zoo offers. A further zoo is one more such module, and one more line in ZOOS."""

    VERSION: str

    def names(self) -> list[str]:
        """All architectures."""

    def resolve(self, asked: ModelName) -> ModelName | None:
        """The full name of the model that ``asked``, of this zoo or bare, means; None for an unknown architecture.

        AuditError, with suggestions, if the architecture is known and the rest of the name is wrong.
        """

    def entry(self, architecture: str) -> CatalogueEntry:
        """The architecture's entry in the catalogue. Builds no model."""

    def preprocessing(self, name: ModelName, module: nn.Module, /) -> Preprocessing:
        """The zoo's own evaluation preprocessing of the model, which was built as ``module``.

        AuditError if no canvas can be made so.
        """

    def build(self, name: ModelName, input_size: int | None = None, num_classes: int | None = None) -> nn.Module:
        """Build a model with newly drawn weights; ``input_size`` matters only to architectures built for one size."""

    def fetch(self, name: ModelName, on_progress: OnProgress) -> tuple[nn.Module, Weights]:
        """Build a model with its published weights, downloading those that are not in the cache."""

    def parameters(self, architecture: str) -> int:
        """How many parameters the architecture has. Takes no memory for them."""


ZOOS: Final[Mapping[str | None, Zoo]] = {"timm": timm, "torchvision": torchvision}


def catalogue() -> tuple[CatalogueEntry, ...]:
    """The entries of all architectures of all zoos. Builds no model."""
    return tuple(zoo.entry(architecture) for zoo in ZOOS.values() for architecture in zoo.names())


def resolve(name: str) -> ModelName:
    """The full name of the model that ``name`` means: with the zoo, and with a tag where it says whose weights.

    AuditError, with the names that resemble it, if no zoo has it.
    """
    asked = ModelName.parse(name)
    for source in asked.zoos():
        if source in ZOOS and (full := ZOOS[source].resolve(asked)):
            return full
    suggestions = close_names(name, catalogue())
    zoos = " nor in ".join(f"{source} {zoo.VERSION}" for source, zoo in ZOOS.items())
    did_you_mean = f" Did you mean {', '.join(suggestions)}?" if suggestions else ""
    raise AuditError("unknown-model", f"{name} is neither in {zoos}.{did_you_mean}", suggestions=suggestions or None)


def require_published(name: ModelName, entry: CatalogueEntry) -> None:
    """AuditError, with relatives that have weights, if the zoo has published none under this full name."""
    if entry.pretrained and str(name) in full_names(entry):
        return
    relatives = published_relatives(entry, catalogue())
    suggestions = tuple(full for relative in relatives for full in full_names(relative))[:5]
    near = f" Published relatives: {', '.join(suggestions)}." if suggestions else ""
    raise AuditError(
        "weights-not-published",
        f'No weights are published for {name}. Ask for weights "untrained", or for another model.{near}',
        suggestions=suggestions or None,
    )


def parameters(source: str | None, architecture: str) -> int:
    """How many parameters an architecture has. Takes no memory for them."""
    return ZOOS[source].parameters(architecture)
