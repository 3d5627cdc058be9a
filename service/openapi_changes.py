"""Finds what would break the clients of the last release: ``python -m service.openapi_changes [--write]``

Holds the present OpenAPI document against docs/openapi.json, that of the last release. What a client may send must
still be taken and mean the same, and what it reads must still be there: a removed path, method, parameter or field,
a new required one, fewer types or values, tighter limits or another default in a request, a higher role, and more
types or values in an answer are breaks.
Additions are none. With ``--write`` the present document becomes that of the release.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from zooaudit.contract import ROLES

RELEASED = Path(__file__).parent.parent / "docs" / "openapi.json"

Document = dict[str, Any]
Schema = dict[str, Any]
Way = Literal["request", "answer"]
ECHOED = "AuditRequest"
"""What an answer only repeats: a value that a request may have is no surprise in it."""
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def breaks(old: Document, new: Document) -> Iterator[str]:
    """Yield a sentence for each change from ``old`` to ``new`` that breaks a client of the old one."""
    for path, operations in old["paths"].items():
        if path not in new["paths"]:
            yield f"{path} is gone"
            continue
        for method, operation in operations.items():
            where = f"{method.upper()} {path}"
            if method not in new["paths"][path]:
                yield f"{where} is gone"
            else:
                yield from _of_operation(Comparing(old, new), operation, new["paths"][path][method], where)


def _of_operation(comparing: "Comparing", old: Schema, new: Schema, where: str) -> Iterator[str]:
    if (role := new.get("x-role")) and ROLES.index(role) > ROLES.index(old.get("x-role", ROLES[0])):
        yield f"{where} needs the role {role} now"
    before, after = ({(one["in"], one["name"]): one for one in each.get("parameters", ())} for each in (old, new))
    for key, parameter in before.items():
        place = f"{where}, parameter {key[1]}"
        if key not in after:
            yield f"{place} is gone"
        else:
            yield from comparing.schemas(parameter["schema"], after[key]["schema"], place, "request")
    for key, parameter in after.items():
        if parameter.get("required") and not before.get(key, {}).get("required"):
            yield f"{where}, parameter {key[1]} is required now"
    if "requestBody" in new:
        if "requestBody" not in old:
            yield f"{where} needs a body now"
        else:
            yield from comparing.contents(old["requestBody"], new["requestBody"], f"{where}, body", "request")
    for status, response in old["responses"].items():
        if status not in new["responses"]:
            yield f"{where} has no answer {status} any more"
        else:
            yield from comparing.contents(response, new["responses"][status], f"{where}, answer {status}", "answer")


class Comparing:
    """Compares schemas of two documents. ``seen`` are the pairs of named ones that were compared already."""

    def __init__(self, old: Document, new: Document) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, str, Way]] = set()

    def contents(self, old: Schema, new: Schema, where: str, way: Way) -> Iterator[str]:
        for media_type, content in old.get("content", {}).items():
            if media_type not in new.get("content", {}):
                yield f"{where} is not of the type {media_type} any more"
            else:
                yield from self.schemas(content["schema"], new["content"][media_type]["schema"], where, way)

    def schemas(self, old: Schema, new: Schema, where: str, way: Way) -> Iterator[str]:
        if way == "request" and "default" in old and new.get("default") != old["default"]:
            yield f"{where} has another default now"
        before, after = _variants(old, self._old), _variants(new, self._new)
        lost = before.keys() - after.keys() if way == "request" else after.keys() - before.keys()
        if lost and "any" not in (after if way == "request" else before):
            verb = "may not be" if way == "request" else "may be"
            yield f"{where} {verb} {' or '.join(sorted(lost))} now"
        for key in before.keys() & after.keys():
            (old_name, one), (new_name, other) = before[key], after[key]
            named = (old_name, new_name, way)
            if (old_name and named in self._seen) or (way == "answer" and old_name == ECHOED):
                continue
            self._seen.add(named)
            yield from self._of_variant(one, other, old_name or where, way)

    def _of_variant(self, old: Schema, new: Schema, where: str, way: Way) -> Iterator[str]:
        yield from _of_values(old, new, where, way)
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, schema in before.items():
            if name not in after:
                yield f"{where}.{name} is gone"
            else:
                yield from self.schemas(schema, after[name], f"{where}.{name}", way)
        old_required, new_required = set(old.get("required", ())), set(new.get("required", ()))
        if way == "request":
            for name in sorted(new_required - old_required):
                yield f"{where}.{name} is required now"
            yield from _of_limits(old, new, where)
        else:
            for name in sorted((old_required - new_required) & after.keys()):
                yield f"{where}.{name} may be absent now"
        for nested in ("items", "additionalProperties"):
            if isinstance(old.get(nested), dict) and isinstance(new.get(nested), dict):
                yield from self.schemas(old[nested], new[nested], f"{where}[]", way)


def _variants(schema: Schema, document: Document) -> dict[str, tuple[str, Schema]]:
    """Return the kinds of values that a schema allows: by kind, the name of the schema (if it has one) and the schema.

    Objects are told apart by their names where there are several.
    """
    name = ""
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = document["components"]["schemas"][name]
    whole = schema.get("allOf", ())
    parts = schema.get("anyOf") or schema.get("oneOf") or (whole if len(whole) == 1 else ())
    if not parts:
        kind = schema.get("type") or ("any" if not {"enum", "const"} & schema.keys() else "value")
        return {kind: (name, schema)}
    found: dict[str, tuple[str, Schema]] = {}
    for part in parts:
        for kind, (of_name, variant) in _variants(part, document).items():
            found[f"{kind} {of_name}" if kind in found else kind] = (of_name, variant)
    return found


def _of_values(old: Schema, new: Schema, where: str, way: Way) -> Iterator[str]:
    before, after = _values(old), _values(new)
    if way == "request" and after is not None:
        lost = ["other values"] if before is None else sorted(before - after)
        if lost:
            yield f"{where} may not be {', '.join(lost)} now"
    if way == "answer" and before is not None:
        more = ["other values"] if after is None else sorted(after - before)
        if more:
            yield f"{where} may be {', '.join(more)} now"


def _values(schema: Schema) -> set[str] | None:
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return None if values is None else set(map(json.dumps, values))


def _of_limits(old: Schema, new: Schema, where: str) -> Iterator[str]:
    for limit in LOWER:
        if limit in new and (limit not in old or new[limit] > old[limit]):
            yield f"{where} has the {limit} {new[limit]} now"
    for limit in UPPER:
        if limit in new and (limit not in old or new[limit] < old[limit]):
            yield f"{where} has the {limit} {new[limit]} now"
    if new.get("pattern") != old.get("pattern") and "pattern" in new:
        yield f"{where} has another pattern now"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make the present document that of the release")
    options = parser.parse_args()

    from service.app import create_app

    present = create_app().openapi()
    if options.write:
        RELEASED.write_text(json.dumps(present, indent=1, sort_keys=True) + "\n")
        return 0
    found = list(breaks(json.loads(RELEASED.read_text()), json.loads(json.dumps(present))))
    for sentence in found:
        print(f"breaks clients of the last release: {sentence}", file=sys.stderr)
    if found:
        print("Make it an addition; or, for a release that breaks them, run make openapi.", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
