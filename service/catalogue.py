"""The catalogue that the workers publish: complete a request from it, search it, and refuse what it does not have.

Every refusal is a :class:`service.errors.Refused` with a 422 whose detail tells what would be accepted.
"""

import re

from zooaudit.contract import (
    AuditRequest,
    Catalogue,
    CatalogueEntry,
    close_names,
    find_entry,
    full_names,
    published_relatives,
)
from zooaudit.views.text import counted

from service.errors import Refused, refused


def complete(request: AuditRequest, catalogue: Catalogue) -> AuditRequest:
    """Return ``request`` with the model's full name, after checking all that can be checked without a worker."""
    match = find(request.model, catalogue)
    if match is None:
        raise unknown(request.model, catalogue)
    entry, name = match
    if not entry.supported:
        reason = entry.reason or "its family is not among those that can be audited"
        raise refused("unsupported-model", f"{name} cannot be audited: {reason}")
    if request.weights == "pretrained" and not entry.pretrained:
        raise _no_weights(entry, catalogue)
    _check_images(request, catalogue)
    warps = [amount for each in request.warps if each.kind == "translation" for amount in each.amounts]
    largest = max([*request.translations_px, *map(abs, warps)], default=0)
    if entry.input_size is not None and largest >= entry.input_size:
        detail = (
            f"A shift of {largest:g} pixels leaves nothing of the {entry.input_size} pixels that {name} sees; "
            f"ask for shifts of at most {entry.input_size - 1}."
        )
        raise refused("shift-too-large", detail)
    return request.model_copy(update={"model": name})


def find(name: str, catalogue: Catalogue) -> tuple[CatalogueEntry, str] | None:
    """Return the entry that ``name`` means, and its full name: with the zoo, and with a tag where the zoo has tags."""
    return find_entry(name, catalogue.entries)


def search(catalogue: Catalogue, q: str, family: str | None, source: str | None) -> list[CatalogueEntry]:
    """List the entries of ``family`` and ``source`` that have every word of ``q`` in one of their full names.

    Case does not matter, nor what stands between the words. Architectures that are called ``q`` come first, then those
    that begin with it, then those that contain it, then those whose match needs the zoo or a tag.
    """
    words = re.findall(r"[a-z0-9]+", q.lower())
    if q.strip() and not words:
        return []
    matches = [
        entry
        for entry in catalogue.entries
        if (family is None or entry.family == family)
        and (source is None or entry.source == source)
        and any(all(word in name.lower() for word in words) for name in full_names(entry))
    ]
    return sorted(matches, key=lambda entry: _remoteness(entry, words))


def _remoteness(entry: CatalogueEntry, words: list[str]) -> int:
    query, architecture = "".join(words), re.sub(r"[^a-z0-9]", "", entry.architecture.lower())
    from_near_to_far = (
        architecture == query,
        architecture.startswith(query),
        query in architecture,
        all(word in entry.name.lower() for word in words),
        True,
    )
    return from_near_to_far.index(True)


def unknown(name: str, catalogue: Catalogue) -> Refused:
    """Build the refusal of a name that no zoo has, with the names that it resembles."""
    suggestions = close_names(name, catalogue.entries)
    hint = f"Did you mean {', '.join(suggestions)}?" if suggestions else "GET /models?q= searches what there is."
    return refused("unknown-model", f"No zoo has {name!r}. {hint}", suggestions=suggestions)


def _no_weights(entry: CatalogueEntry, catalogue: Catalogue) -> Refused:
    relatives = tuple(relative.name for relative in published_relatives(entry, catalogue.entries))
    hint = f"These have: {', '.join(relatives)}. Or ask" if relatives else "Ask"
    detail = f"{entry.name} has no published weights. {hint} for weights 'untrained' or 'checkpoint:NAME'."
    return refused("weights-not-published", detail, suggestions=relatives)


def _check_images(request: AuditRequest, catalogue: Catalogue) -> None:
    if request.dataset not in catalogue.datasets:
        configured = sorted(catalogue.datasets)
        detail = f"No data set is called {request.dataset!r} here; there are: {', '.join(configured) or 'none'}."
        raise refused("unknown-dataset", detail, suggestions=tuple(configured))
    count = catalogue.datasets[request.dataset]
    if count is not None and request.num_images > count:
        verb = "was" if request.num_images == 1 else "were"
        detail = f"{counted(request.num_images, 'image')} {verb} asked for, and {request.dataset} has {count}."
        raise refused("too-few-images", detail)
