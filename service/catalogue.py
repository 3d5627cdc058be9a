"""Names of models: from what a user writes to the one full name, by the catalogue that the workers publish.

Every function that refuses raises :class:`service.errors.Refused` with a 422 that says what would be accepted.
"""

import difflib
import re
from collections.abc import Iterable

from zooaudit.contract import AuditRequest, Catalogue, CatalogueEntry

from service.errors import Refused, refused


def complete(request: AuditRequest, catalogue: Catalogue) -> AuditRequest:
    """``request`` with the model's full name, after checking all that can be checked before a worker has it."""
    found = find(request.model, catalogue)
    if found is None:
        raise unknown(request.model, catalogue)
    entry, name = found
    if not entry.supported:
        reason = entry.reason or "its family is not among those that can be audited"
        raise refused("unsupported-model", f"{name} cannot be audited: {reason}")
    if request.weights == "pretrained" and not entry.pretrained:
        raise _no_weights(entry, catalogue)
    _check_images(request, catalogue)
    largest = max(request.translations_px, default=0)
    if entry.input_size is not None and largest >= entry.input_size:
        detail = (
            f"A shift of {largest} pixels leaves nothing of the {entry.input_size} pixels that {name} sees; "
            f"ask for shifts of at most {entry.input_size - 1}."
        )
        raise refused("shift-too-large", detail)
    return request.model_copy(update={"model": name})


def find(name: str, catalogue: Catalogue) -> tuple[CatalogueEntry, str] | None:
    """The entry that ``name`` means, and its full name: with the zoo, and with a tag where the zoo has tags."""
    source, slash, rest = name.rpartition("/")
    architecture, dot, tag = rest.partition(".")
    by_name = {(entry.source, entry.architecture): entry for entry in catalogue.entries}
    for zoo in ("timm", "torchvision") if not slash else (source,):
        entry = by_name.get((zoo, architecture))
        if entry is None:
            continue
        full = f"{entry.source}/{entry.architecture}"
        if dot:
            return (entry, f"{full}.{tag}") if tag in entry.tags else None
        return entry, f"{full}.{entry.tags[0]}" if entry.tags else full
    return None


def search(catalogue: Catalogue, q: str, family: str | None, source: str | None) -> list[CatalogueEntry]:
    """Entries whose full name, with any of their tags, contains every word of ``q``, whatever the case and whatever
    stands between words; what is called so comes first, then what begins so, then what has it in its name."""
    words = re.findall(r"[a-z0-9]+", q.lower())
    if q.strip() and not words:
        return []
    found = [
        entry
        for entry in catalogue.entries
        if (family is None or entry.family == family)
        and (source is None or entry.source == source)
        and any(all(word in name.lower() for word in words) for name in _names(entry))
    ]
    return sorted(found, key=lambda entry: _remoteness(entry, words))


def _remoteness(entry: CatalogueEntry, words: list[str]) -> int:
    wanted, called = "".join(words), re.sub(r"[^a-z0-9]", "", entry.architecture.lower())
    matches = (
        called == wanted,
        called.startswith(wanted),
        wanted in called,
        all(word in entry.name.lower() for word in words),
        True,
    )
    return matches.index(True)


def unknown(name: str, catalogue: Catalogue) -> Refused:
    """The refusal of a name that no zoo has, with the names it may have been meant to be."""
    close = suggestions(name, catalogue)
    hint = f"Did you mean {', '.join(close)}?" if close else "GET /models?q= searches what there is."
    return refused("unknown-model", f"No zoo has {name!r}. {hint}", suggestions=close)


def suggestions(name: str, catalogue: Catalogue, limit: int = 5) -> tuple[str, ...]:
    """Full names of supported models close to ``name``, closest first; a zoo or a tag in it may be wrong, too."""
    source, _, rest = name.lower().rpartition("/")
    architecture, dot, _ = rest.partition(".")
    full: dict[str, list[str]] = {}
    for entry in catalogue.entries:
        if not entry.supported:
            continue
        # Without a tag the user thinks of architectures; with one, of checkpoints.
        names = _names(entry) if dot and entry.tags else [f"{entry.source}/{entry.architecture}"]
        for candidate in names:
            full.setdefault(candidate.partition("/")[2].lower(), []).append(candidate)
    exact = full.get(architecture, []) if not dot else []
    near = [item for key in difflib.get_close_matches(rest, full, n=limit, cutoff=0.5) for item in full[key]]
    if not near and dot:
        near = [item for key, items in full.items() if key.partition(".")[0] == architecture for item in items]
    ordered = sorted(dict.fromkeys(exact + near), key=lambda item: not item.startswith(f"{source}/"))
    return tuple(ordered[:limit])


def _names(entry: CatalogueEntry) -> list[str]:
    full = f"{entry.source}/{entry.architecture}"
    return [full, *(f"{full}.{tag}" for tag in entry.tags)]


def _no_weights(entry: CatalogueEntry, catalogue: Catalogue) -> Refused:
    have = [item for item in catalogue.entries if item.pretrained and item.supported]
    relatives = _relatives(entry, have)
    hint = f"These have: {', '.join(relatives)}." if relatives else ""
    detail = f"{entry.source}/{entry.architecture} has no published weights. {hint} Or ask for weights 'untrained'."
    return refused("weights-not-published", detail, suggestions=relatives)


def _relatives(entry: CatalogueEntry, others: Iterable[CatalogueEntry], limit: int = 5) -> tuple[str, ...]:
    """Models of the same family with weights, those that share the whole name first."""
    family = {f"{item.source}/{item.architecture}": item for item in others if item.family == entry.family}
    same = [name for name, item in family.items() if entry.architecture in item.architecture]
    close = difflib.get_close_matches(f"{entry.source}/{entry.architecture}", family, n=limit, cutoff=0.5)
    return tuple(dict.fromkeys(same + close))[:limit]


def _check_images(request: AuditRequest, catalogue: Catalogue) -> None:
    if request.dataset not in catalogue.datasets:
        there = ", ".join(sorted(catalogue.datasets)) or "none"
        detail = f"No data set is called {request.dataset!r} here; there are: {there}."
        raise refused("unknown-dataset", detail, suggestions=tuple(sorted(catalogue.datasets)))
    count = catalogue.datasets[request.dataset]
    if count is not None and request.num_images > count:
        detail = f"{request.num_images} images were asked for, and {request.dataset} has {count}."
        raise refused("too-few-images", detail)
