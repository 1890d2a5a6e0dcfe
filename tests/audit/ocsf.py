"""The schema of OCSF 1.8.0, and the part of JSON Schema (2020-12) it uses; a keyword nobody knows here is an error."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from vault.audit.ocsf import PROFILE, RELEASE

TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "number": (int, float), "null": type(None),
}  # fmt: skip
KNOWN = {
    *("$schema", "$id", "$defs", "$ref", "title", "type", "required", "properties", "additionalProperties", "items", "enum"),
    *("pattern", "anyOf", "const", "minimum", "maximum", "maxLength", "deprecated"),
}
Schema = dict[str, Any]


@cache
def datastore_activity() -> Schema:
    """Return the schema of class 6005 with every object it names."""
    return OcsfJsonSchemaEmbedded(get_ocsf_schema(RELEASE)).get_class_schema("datastore_activity", [PROFILE])


def faults(root: Schema, value: Any, schema: Schema | None = None, place: str = "") -> Iterator[str]:
    """Yield where a value does not fit."""
    schema = root if schema is None else schema
    assert schema.keys() <= KNOWN, schema.keys() - KNOWN
    if "$ref" in schema:
        yield from faults(root, value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], place)
        return
    if "type" in schema and (not isinstance(value, TYPES[schema["type"]]) or (value is True and schema["type"] == "integer")):
        yield f"{place}: is no {schema['type']}"
        return
    yield from _scalar(schema, value, place)
    if isinstance(value, dict):
        yield from _members(root, schema, value, place)
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from faults(root, one, schema.get("items", {}), f"{place}/{number}")
    if "anyOf" in schema and not any(not list(faults(root, value, {**one, "$schema": ""}, place)) for one in schema["anyOf"]):
        yield f"{place}: is none of its kinds"


def _scalar(schema: Schema, value: Any, place: str) -> Iterator[str]:
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        yield f"{place}: is not in the list"
    if isinstance(value, str) and (not re.search(schema.get("pattern", ""), value) or len(value) > schema.get("maxLength", 65_536)):
        yield f"{place}: has another form"
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{place}: is out of range"


def _members(root: Schema, schema: Schema, value: dict[str, Any], place: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    yield from (f"{place}/{name}: is missing" for name in schema.get("required", []) if name not in value)
    for name, one in value.items():
        if name in properties:
            yield from faults(root, one, properties[name], f"{place}/{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{place}/{name}: is unknown"
