"""The leaderboard: of all audits, the newest of each model by one method, filtered and sorted."""

import gzip
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from zooaudit.contract import (
    Leaderboard,
    LeaderboardMethod,
    LeaderboardQuery,
    LeaderboardRow,
    MeasuredMethod,
    deformation_from,
    newest_rows,
    warps_from,
    whole_numbers_from,
)

from service.summaries import SCORE_PLACES, Known, Summary

ANSWERS_KEPT = 4
SETTINGS = (
    *("dataset", "num_images", "seed", "direction", "local", "consistency_draws", "variance"),
    *("similarity", "border", "precision", "protocol"),
)
"""The settings of a method that a query names just as the method has them."""


@dataclass(frozen=True)
class Answer:
    """The JSON of a Leaderboard."""

    body: bytes

    @cached_property
    def gzipped(self) -> bytes:
        return gzip.compress(self.body, compresslevel=5, mtime=0)


@lru_cache(ANSWERS_KEPT)
def answer(query: LeaderboardQuery, known: Known) -> Answer:
    """Make the answer to ``query``. It is kept until other audits are known, for pages that look for changes."""
    newest = _newest_by_method(known.summaries)
    methods = sorted(newest, key=lambda method: _importance(method, newest[method]), reverse=True)
    chosen = next((method for method in methods if _has_settings(method, query)), None)
    ranked = newest[chosen] if chosen else []
    rows = _ordered([summary for summary in ranked if _matches(summary.row, query)], query.sort)
    head = Leaderboard(
        method=chosen,
        methods=tuple(MeasuredMethod(method=method, models=_models(newest[method])) for method in methods),
        rows=(),
        total=len(rows),
        families=dict(sorted(Counter(summary.row.family for summary in ranked).items())),
        pending=known.pending,
        unreadable=known.unreadable,
    )
    page = b",".join(summary.json for summary in rows[query.offset : query.offset + query.limit])
    # No name of a data set can hold this text: its quotes would be escaped.
    return Answer(head.model_dump_json().encode().replace(b'"rows":[]', b'"rows":[' + page + b"]", 1))


def _newest_by_method(summaries: Iterable[Summary]) -> dict[LeaderboardMethod, list[Summary]]:
    """Group the summaries by method, and keep the newest of each model and weights."""
    by_method: dict[LeaderboardMethod, dict[str, Summary]] = {}
    for summary in summaries:
        by_method.setdefault(summary.method, {})[summary.row.id] = summary
    return {
        method: [by_id[row.id] for row in newest_rows(summary.row for summary in by_id.values())]
        for method, by_id in by_method.items()
    }


def _models(summaries: Iterable[Summary]) -> int:
    return len({summary.row.model for summary in summaries})


def _importance(method: LeaderboardMethod, newest: Collection[Summary]) -> tuple[int, int, float, str]:
    """Sort methods by their models, then by their images, then by their latest audit."""
    latest_s = max(summary.row.finished_at.timestamp() for summary in newest)
    return _models(newest), method.num_images, latest_s, method.images_sha256


def _has_settings(method: LeaderboardMethod, query: LeaderboardQuery) -> bool:
    """Tell whether the method has all the settings that the query names."""
    tolerance = "none" if method.tolerance is None else method.tolerance
    return (
        all(getattr(query, name) in (None, getattr(method, name)) for name in SETTINGS)
        and query.tolerance in (None, tolerance)
        and (query.translations_px is None or whole_numbers_from(query.translations_px) == set(method.translations_px))
        and (query.rotations_deg is None or whole_numbers_from(query.rotations_deg) == set(method.rotations_deg))
        and query.reflections in (None, ",".join(method.reflections) or "none")
        and (query.warps is None or warps_from(query.warps) == method.warps)
        and (query.deformation is None or deformation_from(query.deformation) == method.deformation)
        and method.images_sha256.startswith(query.images_sha256 or "")
    )


def _matches(row: LeaderboardRow, query: LeaderboardQuery) -> bool:
    words = re.findall(r"[a-z0-9]+", query.q.lower())
    name = row.model.lower()
    return (
        (bool(words) or not query.q.strip())
        and all(word in name for word in words)
        and query.family in (None, row.family)
        and query.source in (None, row.source)
        and (query.weights is None or re.match(rf"{re.escape(query.weights)}($|[:@])", row.weights) is not None)
        and _is_within(row.parameters, query.min_parameters, query.max_parameters)
        and _is_within(row.imagenet_top1, query.min_top1, query.max_top1)
    )


def _is_within(value: float | None, least: float | None, most: float | None) -> bool:
    if value is None:
        return least is None and most is None
    return (least is None or value >= least) and (most is None or value <= most)


def _ordered(summaries: Sequence[Summary], sort: str) -> list[Summary]:
    """Sort by a column; equal rows by their names, and rows without a value last."""
    column, descending = sort.removeprefix("-"), sort.startswith("-")
    by_name = sorted(summaries, key=lambda summary: (summary.row.model.lower(), summary.row.weights))

    def value(summary: Summary) -> object:
        if column in SCORE_PLACES:
            score = summary.scores[SCORE_PLACES[column]]
            return None if math.isnan(score) else score
        found = getattr(summary.row, column)
        return found.lower() if isinstance(found, str) else found

    valued = [summary for summary in by_name if value(summary) is not None]
    ordered = sorted(valued, key=value, reverse=descending)  # type: ignore[arg-type]
    return ordered + [summary for summary in by_name if value(summary) is None]
