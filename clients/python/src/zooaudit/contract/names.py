"""Names of models: ``timm/NAME[.TAG]``, ``torchvision/NAME``, ``own/NAME``, ``module/NAME``, or a bare ``NAME[.TAG]``.

>>> ModelName.parse("timm/resnet50.a1_in1k")
ModelName(source='timm', architecture='resnet50', tag='a1_in1k')
>>> str(ModelName("torchvision", "vit_b_16"))
'torchvision/vit_b_16'
>>> ModelName.parse("vit_b_16").zoos()
('timm', 'torchvision', 'own')
"""

import difflib
from collections.abc import Iterable
from typing import NamedTuple

from zooaudit.contract.catalogue import CatalogueEntry

SEARCHED_ZOOS: tuple[str, ...] = ("timm", "torchvision", "own")
"""The zoos to search for a bare name, in this order; it means the model of the first zoo that has it."""


class ModelName(NamedTuple):
    """The parts of a name: its source (a zoo, or "module"), the architecture, and the tag, which names the weights.

    ``source`` is None in a bare name. ``tag`` is None where weights need no name or the default weights are meant.
    """

    source: str | None
    architecture: str
    tag: str | None = None

    @classmethod
    def parse(cls, name: str) -> "ModelName":
        """Split a name into its parts; no model of this name has to exist. A "module" may have dots, but no tag."""
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
        """Return the sources to search for the model, in this order."""
        return SEARCHED_ZOOS if self.source is None else (self.source,)


def full_names(entry: CatalogueEntry) -> tuple[str, ...]:
    """Return the names under which an entry can be audited: one for each tag, the default first; one if it has none."""
    return tuple(str(ModelName(entry.source, entry.architecture, tag)) for tag in entry.tags or (None,))


def find_entry(name: str, entries: Iterable[CatalogueEntry]) -> tuple[CatalogueEntry, str] | None:
    """Find the entry that ``name`` means. Return it with its full name, which has the default tag if ``name`` has none.

    Returns None if there is no such entry, or if the entry does not have the tag.
    """
    parsed = ModelName.parse(name)
    by_source = {entry.source: entry for entry in entries if entry.architecture == parsed.architecture}
    entry = next((by_source[source] for source in parsed.zoos() if source in by_source), None)
    if entry is None:
        return None
    if parsed.tag is None:
        return entry, full_names(entry)[0]
    return (entry, str(parsed._replace(source=entry.source))) if parsed.tag in entry.tags else None


def close_names(name: str, entries: Iterable[CatalogueEntry], limit: int = 5) -> tuple[str, ...]:
    """Find names of supported entries that resemble ``name``: those of its zoo before the others, the closest first."""
    parsed = ModelName.parse(name.lower())
    # The zoo may be wrong, too, so the rest of the name is compared with the names of all zoos.
    bare = ModelName.parse(parsed.in_zoo)
    has_tag = bare.tag is not None
    candidates: dict[str, list[str]] = {}
    for entry in entries:
        if entry.supported:
            # A name without a tag asks for an architecture, a name with a tag for weights.
            for full in (entry.name, *(full_names(entry) if has_tag and entry.tags else ())):
                candidates.setdefault(ModelName.parse(full).in_zoo.lower(), []).append(full)
    close = [] if has_tag else candidates.get(bare.architecture, [])
    for in_zoo in difflib.get_close_matches(bare.in_zoo, candidates, n=limit, cutoff=0.5):
        close = close + candidates[in_zoo]
    if not close and has_tag:
        for in_zoo, names in candidates.items():
            if ModelName.parse(in_zoo).architecture == bare.architecture:
                close = close + names
    return tuple(sorted(dict.fromkeys(close), key=lambda full: ModelName.parse(full).source != parsed.source)[:limit])


def published_relatives(
    entry: CatalogueEntry, entries: Iterable[CatalogueEntry], limit: int = 5
) -> tuple[CatalogueEntry, ...]:
    """Find entries of the same family that have published weights and can be audited: first the entry itself, then
    those whose names contain its name, then those whose names resemble it."""
    family = {
        other.name: other for other in entries if other.family == entry.family and other.pretrained and other.supported
    }
    containing = [name for name, other in family.items() if entry.architecture in other.architecture]
    similar = difflib.get_close_matches(entry.name, family, n=limit, cutoff=0.5)
    own = [entry.name] if entry.name in family else []
    return tuple(family[name] for name in dict.fromkeys(own + containing + similar))[:limit]
