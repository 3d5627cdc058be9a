"""Names of models: ``timm/NAME[.TAG]``, ``torchvision/NAME``, ``module/NAME``, or a bare ``NAME[.TAG]`` without a zoo.

>>> ModelName.parse("timm/resnet50.a1_in1k")
ModelName(source='timm', architecture='resnet50', tag='a1_in1k')
>>> str(ModelName("torchvision", "vit_b_16"))
'torchvision/vit_b_16'
>>> ModelName.parse("vit_b_16").zoos()
('timm', 'torchvision')
"""

import difflib
from collections.abc import Iterable
from typing import NamedTuple

from zooaudit.contract.catalogue import CatalogueEntry

BARE: tuple[str, ...] = ("timm", "torchvision")
"""The zoos that may have a model with a bare name; the first that has it is meant."""


class ModelName(NamedTuple):
    """The parts of a name: the zoo, the architecture, and the tag, which names its weights.

    A bare name has no source (None), and where weights need no name, or the default is meant, the tag is None.
    """

    source: str | None
    architecture: str
    tag: str | None = None

    @classmethod
    def parse(cls, name: str) -> "ModelName":
        """Take any text apart, known or not. A module's own name may have dots, and never has a tag."""
        source, slash, rest = name.rpartition("/")
        architecture, dot, tag = (rest, "", "") if source == "module" else rest.partition(".")
        return cls(source if slash else None, architecture, tag if dot else None)

    def __str__(self) -> str:
        return self.in_zoo if self.source is None else f"{self.source}/{self.in_zoo}"

    @property
    def in_zoo(self) -> str:
        """The name as the zoo itself writes it, ``NAME[.TAG]``."""
        return self.architecture if self.tag is None else f"{self.architecture}.{self.tag}"

    def zoos(self) -> tuple[str, ...]:
        """The sources to look into, in this order."""
        return BARE if self.source is None else (self.source,)


def full_names(entry: CatalogueEntry) -> tuple[str, ...]:
    """The names under which an entry can be audited: with each of its tags, the default first, or the one without."""
    return tuple(str(ModelName(entry.source, entry.architecture, tag)) for tag in entry.tags or (None,))


def find_entry(name: str, entries: Iterable[CatalogueEntry]) -> tuple[CatalogueEntry, str] | None:
    """The entry that ``name`` means, and its full name, with the default tag if ``name`` has none."""
    wanted = ModelName.parse(name)
    by_source = {entry.source: entry for entry in entries if entry.architecture == wanted.architecture}
    entry = next((by_source[source] for source in wanted.zoos() if source in by_source), None)
    if entry is None:
        return None
    if wanted.tag is None:
        return entry, full_names(entry)[0]
    return (entry, str(wanted._replace(source=entry.source))) if wanted.tag in entry.tags else None


def close_names(name: str, entries: Iterable[CatalogueEntry], limit: int = 5) -> tuple[str, ...]:
    """Names of supported entries that resemble ``name``: those of its zoo before the others, the closest first."""
    asked = ModelName.parse(name.lower())
    # The zoo may be wrong, too: what follows it is compared as if it were a bare name.
    wanted = ModelName.parse(asked.in_zoo)
    has_tag = wanted.tag is not None
    candidates: dict[str, list[str]] = {}
    for entry in entries:
        if entry.supported:
            # Whoever leaves out the tag looks for an architecture, whoever gives one for weights.
            for full in (entry.name, *(full_names(entry) if has_tag and entry.tags else ())):
                candidates.setdefault(ModelName.parse(full).in_zoo.lower(), []).append(full)
    close = [] if has_tag else candidates.get(wanted.architecture, [])
    for in_zoo in difflib.get_close_matches(wanted.in_zoo, candidates, n=limit, cutoff=0.5):
        close = close + candidates[in_zoo]
    if not close and has_tag:
        for in_zoo, names in candidates.items():
            if ModelName.parse(in_zoo).architecture == wanted.architecture:
                close = close + names
    return tuple(sorted(dict.fromkeys(close), key=lambda full: ModelName.parse(full).source != asked.source)[:limit])


def published_relatives(
    entry: CatalogueEntry, entries: Iterable[CatalogueEntry], limit: int = 5
) -> tuple[CatalogueEntry, ...]:
    """Entries of the same family that have published weights and can be audited: first the entry itself, then those
    that contain its name, then those whose names resemble it."""
    family = {
        other.name: other for other in entries if other.family == entry.family and other.pretrained and other.supported
    }
    containing = [name for name, other in family.items() if entry.architecture in other.architecture]
    similar = difflib.get_close_matches(entry.name, family, n=limit, cutoff=0.5)
    own = [entry.name] if entry.name in family else []
    return tuple(family[name] for name in dict.fromkeys(own + containing + similar))[:limit]
