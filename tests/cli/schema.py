"""As much of JSON Schema (draft 2020-12) as `docs/cli-json.schema.json` uses; a keyword beyond it is an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "cli-json.schema.json").read_text(encoding="utf-8"))
_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
_KNOWN = {"description", "type", "properties", "required", "additionalProperties", "items", "enum", "minimum"}


def faults(value: Any, schema: Any, place: str = "$") -> list[str]:
    """What of `value` is not as `schema` says."""
    if isinstance(schema, bool):
        return [] if schema else [f"{place}: not known"]
    assert set(schema) <= _KNOWN, set(schema) - _KNOWN
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        return [f"{place}: {value!r} is no {' or '.join(kinds)}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{place}: {value!r} is none of {schema['enum']}")
    if "minimum" in schema and _is(value, "number") and value < schema["minimum"]:
        found.append(f"{place}: {value!r} is below {schema['minimum']}")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        found += [f"{place}.{key}: missing" for key in schema.get("required", ()) if key not in value]
        for key, item in value.items():
            found += faults(item, properties.get(key, schema.get("additionalProperties", True)), f"{place}.{key}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += faults(item, schema.get("items", True), f"{place}[{number}]")
    return found


def parsed(text: str, verb: str) -> Any:
    """The one JSON value that `text` is, checked against the definition of `verb`."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    value = json.loads(text, parse_constant=refuse)
    assert faults(value, DOCUMENT["$defs"][verb]) == []
    return value


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
