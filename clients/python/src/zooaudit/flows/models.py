"""The models of the zoos, and their leaderboard."""

import time
from urllib.parse import quote

from zooaudit.contract import ModelDetail, ModelList
from zooaudit.exchange import Exchange, Flow, parse, retry_after_s
from zooaudit.flows.identifiers import query_of
from zooaudit.flows.pauses import SOONEST_S
from zooaudit.options import LeaderboardOptions, leaderboard_query
from zooaudit.results import Leaderboard


def models(
    service: Exchange, q: str | None, family: str | None, source: str | None, limit: int, offset: int
) -> Flow[ModelList]:
    query = query_of(q=q, family=family, source=source, limit=limit, offset=offset)
    return parse(ModelList, (yield from service.send("GET", "/models", params=query)))


def model(service: Exchange, name: str, wait_s: float) -> Flow[ModelDetail]:
    deadline = time.monotonic() + wait_s
    while True:
        response = yield from service.send("GET", f"/models/{quote(name, safe='/')}")
        detail, retry_after = parse(ModelDetail, response), retry_after_s(response)
        left = deadline - time.monotonic()
        if detail.blocks is not None or retry_after is None or left <= 0:
            return detail
        yield min(left, max(retry_after, SOONEST_S))


def leaderboard(service: Exchange, options: LeaderboardOptions, wait_s: float) -> Flow[Leaderboard]:
    query = leaderboard_query(options)
    deadline = time.monotonic() + wait_s
    while True:
        response = yield from service.send("GET", "/leaderboard", params=query)
        board, retry_after = parse(Leaderboard, response), retry_after_s(response)
        left = deadline - time.monotonic()
        if not board.pending or retry_after is None or left <= 0:
            return board
        yield min(left, max(retry_after, SOONEST_S))
