"""The zoos: what the module of a zoo offers, all models that they have, and which model a name means."""

from collections.abc import Mapping
from typing import Final, Protocol

from torch import nn
from zooaudit.contract import CatalogueEntry, Code, ModelName, Weights, close_names, full_names, published_relatives

from worker.errors import AuditError
from worker.images import Preprocessing
from worker.zoo import registered, timm, torchvision
from worker.zoo.download import OnProgress


class Zoo(Protocol):
    """What the module of a zoo offers. A further zoo is one more such module, and one more line in ZOOS."""

    VERSION: str
    """The version of the zoo's library."""

    def names(self) -> list[str]:
        """List all architectures."""

    def resolve(self, asked: ModelName) -> ModelName | None:
        """Return the full name of the model that ``asked``, of this zoo or bare, means; None if it is unknown.

        Raises AuditError, with suggestions, if the architecture is known and the rest of the name is wrong.
        """

    def entry(self, architecture: str) -> CatalogueEntry:
        """Return the architecture's entry in the catalogue, without building the model."""

    def preprocessing(self, name: ModelName, module: nn.Module, /) -> Preprocessing:
        """Return the zoo's own evaluation preprocessing of the model, which was built as ``module``.

        Raises AuditError if no canvas can be made that way.
        """

    def build(self, name: ModelName, input_size: int | None = None, num_classes: int | None = None) -> nn.Module:
        """Build a model with newly drawn weights; ``input_size`` matters only to architectures built for one size."""

    def fetch(self, name: ModelName, on_progress: OnProgress) -> tuple[nn.Module, Weights]:
        """Build a model with its published weights, downloading those that are not in the cache."""

    def code(self, name: ModelName, module: nn.Module, /) -> Code | None:
        """Return the code that built ``module``; None if VERSION tells it."""

    def parameters(self, architecture: str) -> int:
        """Count the parameters of the architecture, without memory for them."""


ZOOS: Final[Mapping[str | None, Zoo]] = {"timm": timm, "torchvision": torchvision, "own": registered}


def catalogue() -> tuple[CatalogueEntry, ...]:
    """List the entries of all architectures of all zoos, without building a model."""
    return tuple(zoo.entry(architecture) for zoo in ZOOS.values() for architecture in zoo.names())


def resolve(name: str) -> ModelName:
    """Return the full name of the model that ``name`` means: with its zoo, and with the tag of its weights if any.

    Raises AuditError, with the names that resemble it, if no zoo has it.
    """
    asked = ModelName.parse(name)
    for source in asked.zoos():
        if source in ZOOS and (full := ZOOS[source].resolve(asked)):
            return full
    suggestions = close_names(name, catalogue())
    zoos = " nor in ".join(f"{source} {zoo.VERSION}".rstrip() for source, zoo in ZOOS.items() if zoo.names())
    did_you_mean = f" Did you mean {', '.join(suggestions)}?" if suggestions else ""
    raise AuditError("unknown-model", f"{name} is neither in {zoos}.{did_you_mean}", suggestions=suggestions or None)


def require_published(name: ModelName, entry: CatalogueEntry) -> None:
    """Raise AuditError, with relatives that have weights, if the zoo has published none under this full name."""
    if entry.pretrained and str(name) in full_names(entry):
        return
    relatives = published_relatives(entry, catalogue())
    suggestions = tuple(full for relative in relatives for full in full_names(relative))[:5]
    near = f" Published relatives: {', '.join(suggestions)}." if suggestions else ""
    raise AuditError(
        "weights-not-published",
        f'No weights are published for {name}. Ask for weights "untrained" or "checkpoint:NAME", or for another '
        f"model.{near}",
        suggestions=suggestions or None,
    )


def parameters(source: str | None, architecture: str) -> int:
    """Count the parameters of an architecture, without memory for them."""
    return ZOOS[source].parameters(architecture)
