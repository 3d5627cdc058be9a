"""A report's seal: any change breaks it, and no way of writing the same report does."""

import json
import math
from collections.abc import Iterator
from typing import Any

from zooaudit.contract import Report, seal_of, sealed

from tests.client.samples import report, whole_report


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path
    else:
        for key, item in items:
            yield from leaves(item, (*path, key))


def changed(value: Any) -> Any:
    if value is None:
        return 0
    if isinstance(value, float):
        return math.nextafter(value, math.inf)
    return value + "x" if isinstance(value, str) else value + 1


def test_every_changed_digit_breaks_the_seal():
    body = json.loads(sealed(whole_report()).model_dump_json())
    seal = body["environment"]["report_sha256"]
    assert seal_of(body) == seal
    paths = [path for path in leaves(body) if path != ("environment", "report_sha256")]
    assert len(paths) > 400
    for *parents, last in paths:
        place = body
        for key in parents:
            place = place[key]
        before, place[last] = place[last], changed(place[last])
        assert seal_of(body) != seal, (*parents, last)
        place[last] = before
    assert seal_of(body) == seal


def test_a_seal_holds_however_the_report_is_written():
    whole = sealed(whole_report())
    body = whole.model_dump(mode="json")
    for written in (whole.model_dump_json(), whole.model_dump_json(indent=2), json.dumps(body)):
        assert seal_of(json.loads(written)) == whole.environment.report_sha256
        assert Report.model_validate_json(written) == whole
    assert sealed(whole) == whole
    assert len(sealed(report()).environment.report_sha256 or "") == 64
