"""Comparisons and second opinions, with the accuracies that a caller has."""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence

from zooaudit.contract import AuditRequest
from zooaudit.exchange import Exchange, Flow, parse
from zooaudit.flows.audits import status
from zooaudit.flows.identifiers import HasId, audit_path, full_id
from zooaudit.results import Comparison, MeasureAgreement
from zooaudit.views.text import subject


def compare(
    service: Exchange,
    audits: Iterable[str | HasId],
    top1: Mapping[str, float] | None,
    reference: str | HasId | None,
) -> Flow[Comparison]:
    if isinstance(audits, str):
        raise TypeError("compare takes several audits, such as a list of their ids")
    query = yield from _query(service, audits, top1)
    if reference is not None:
        named = reference if isinstance(reference, str) else reference.id
        query["reference"] = yield from full_id(service, named)
    return parse(Comparison, (yield from service.send("GET", "/comparison", params=query)))


def second_opinion(
    service: Exchange, audits: str | HasId | Iterable[str | HasId], top1: Mapping[str, float] | None
) -> Flow[MeasureAgreement]:
    if isinstance(audits, (str, HasId)):
        if top1 is not None:
            raise ValueError("accuracies are compared over several models, not over the blocks of one audit")
        identifier = yield from full_id(service, audits if isinstance(audits, str) else audits.id)
        answer = yield from service.send("GET", audit_path(identifier) + "/second-opinion")
    else:
        query = yield from _query(service, audits, top1)
        answer = yield from service.send("GET", "/comparison/second-opinion", params=query)
    return parse(MeasureAgreement, answer)


def _query(service: Exchange, audits: Iterable[str | HasId], top1: Mapping[str, float] | None) -> Flow[dict[str, str]]:
    """Make the query that names the audits to compare, and their accuracies if a caller has any."""
    identifiers = []
    for audit in audits:
        identifiers.append((yield from full_id(service, audit if isinstance(audit, str) else audit.id)))
    query = {"audits": ",".join(identifiers)}
    if top1 is not None:
        accuracies = yield from _accuracies(service, identifiers, top1)
        query["top1"] = ",".join("" if accuracy is None else f"{accuracy:.6f}" for accuracy in accuracies)
    return query


def _accuracies(service: Exchange, identifiers: Sequence[str], top1: Mapping[str, float]) -> Flow[list[float | None]]:
    """Look up the accuracy of each audit: by its id, else by the name of its model if its weights are the pretrained
    ones, whose accuracy a name stands for. Warns of accuracies that are meant for an audit but not taken."""
    accuracies: list[float | None] = []
    request: AuditRequest | None = None
    others: list[str] = []
    by_start = {key.lower(): key for key in top1 if re.fullmatch("[0-9a-fA-F]{4,32}", key)}
    for identifier in identifiers:
        key = next((key for start, key in by_start.items() if identifier.startswith(start)), None)
        if key is None:
            request = (yield from status(service, identifier)).request
            key = next((name for name in (request.model, request.model.removeprefix("timm/")) if name in top1), None)
            if key is not None and request.weights != "pretrained":
                others.append(f"{identifier} ({subject(request)})")
                key = None
        accuracies.append(None if key is None else top1[key])
    unknown = [key for start, key in by_start.items() if not any(one.startswith(start) for one in identifiers)]
    if others:
        _warn(
            "An accuracy by a model's name is that of its pretrained weights and is not taken for "
            f"{', '.join(others)}. Give it under the audit's id instead of the name."
        )
    if unknown:
        _warn(f"No compared audit has the id {' or '.join(unknown)}, for which there is an accuracy.")
    if request and not others and not unknown and all(accuracy is None for accuracy in accuracies):
        _warn(f"None of the accuracies is of a compared audit, such as that of {subject(request)}.")
    return accuracies


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=7)  # the caller of a client's method
