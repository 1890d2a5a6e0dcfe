"""The part of JSON Schema (draft 4) that the schemas in `tests/vectors/` use; a keyword nobody knows here is an error."""

import re
from collections.abc import Iterator
from typing import Any

TYPES: dict[str, Any] = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
KNOWN = {
    "$schema", "title", "type", "required", "properties", "additionalProperties", "items", "enum", "pattern", "minItems", "oneOf"
}  # fmt: skip


def faults(schema: dict[str, Any], value: Any, place: str = "") -> Iterator[str]:
    """Yield where a value does not fit its schema."""
    assert schema.keys() <= KNOWN, schema.keys() - KNOWN
    if "type" in schema and (not isinstance(value, TYPES[schema["type"]]) or (value is True and schema["type"] == "integer")):
        yield f"{place}: is no {schema['type']}"
        return
    if value not in schema.get("enum", [value]):
        yield f"{place}: is not in the list"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{place}: has another form"
    if isinstance(value, dict):
        yield from _members(schema, value, place)
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{place}: has too few"
        for number, one in enumerate(value):
            yield from faults(schema.get("items", {}), one, f"{place}/{number}")
    if "oneOf" in schema and sum(not list(faults(one, value)) for one in schema["oneOf"]) != 1:
        yield f"{place}: is not exactly one of its kinds"


def _members(schema: dict[str, Any], value: dict[str, Any], place: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    yield from (f"{place}/{name}: is missing" for name in schema.get("required", []) if name not in value)
    for name, one in value.items():
        if name in properties:
            yield from faults(properties[name], one, f"{place}/{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{place}/{name}: is unknown"
