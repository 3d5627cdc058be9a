"""Explanations, which a worker makes when they are asked for."""

import json
import math
import time
from http import HTTPStatus
from typing import TypedDict

import httpx

from zooaudit.contract import Axis, WarpKind, problem
from zooaudit.errors import NotFound, Unavailable
from zooaudit.exchange import Exchange, Flow, parse
from zooaudit.flows.identifiers import audit_path, full_id, query_of
from zooaudit.flows.pauses import OUTAGE_S, pause_s
from zooaudit.results import Explanation, LeastEquivariant

ASKED_AT_MOST = 3
"""How often an explanation is asked for whose workers die."""


class AskedTransform(TypedDict, total=False):
    """A transform that an audit has measured; None is as good as absent."""

    shift_px: int | None
    angle_deg: int | None
    axis: Axis | None
    warp: WarpKind | None
    amount: float | None


def explain(
    service: Exchange,
    identifier: str,
    block: str,
    image: int | str,
    transform: AskedTransform,
    timeout: float | None,
) -> Flow[Explanation]:
    asked = {"block": block, "image": image} | query_of(**transform)
    return parse(Explanation, (yield from _made(service, identifier, "explanation", asked, timeout)))


def least_equivariant(
    service: Exchange,
    identifier: str,
    transform: AskedTransform,
    timeout: float | None,
) -> Flow[LeastEquivariant]:
    asked = query_of(**transform)
    return parse(LeastEquivariant, (yield from _made(service, identifier, "least-equivariant", asked, timeout)))


def _made(
    service: Exchange, identifier: str, what: str, asked: dict[str, str | float], timeout: float | None
) -> Flow[httpx.Response]:
    """Ask for an explanation and wait for it. One whose worker has died is asked for again, a few times."""
    path = f"{audit_path((yield from full_id(service, identifier)))}/{what}"
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    for _ in range(ASKED_AT_MOST):
        response = yield from service.send("POST", path, content=json.dumps(asked))
        try:
            while response.status_code == HTTPStatus.ACCEPTED:
                left = deadline - time.monotonic()
                if left <= 0:
                    detail = f"It is not there after {timeout:g} s; a worker goes on with it. Ask again"
                    raise Unavailable(problem("unavailable", detail))
                yield min(left, pause_s(response, None))
                response = yield from service.send("GET", path, params=asked, retry_s=min(OUTAGE_S, max(0.0, left)))
            return response
        except NotFound as error:
            if error.problem.type != problem("unknown-explanation", "").type:
                raise
            lost = error
    raise lost
