"""The configuration's own description: JSON Schema, the keys allowed at a place, and what a key means."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from node.settings.model import Settings
from node.settings.places import KeyPath
from node.settings.units import (
    DURATION_PATTERN,
    RATE_PATTERN,
    SIZE_PATTERN,
    Rate,
    format_duration,
    format_rate,
    format_size,
)

_FORMS: dict[str, Callable[[Any], str]] = {
    DURATION_PATTERN: format_duration,
    SIZE_PATTERN: format_size,
    RATE_PATTERN: lambda rate: format_rate(Rate(*rate)),
}
_SOURCE = re.compile(r"\s*\((?:design|operations|facts)\b[^)]*\)")
MAX_REFERENCES = 32
"""Bound on following references; the schema holds no chain longer than three."""


class _InOurUnits(GenerateJsonSchema):
    """Writes defaults as the file would: ``35MiB``, not 36700160."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        result = super().default_schema(schema)
        form = _FORMS.get(result.get("pattern", ""))
        if form is not None and isinstance(result.get("default"), int | float | list | tuple):
            result["default"] = form(result["default"])
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is known of one key."""

    form: str
    """What may stand there, in words."""
    meaning: str = ""
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    """Keys below it, when these are fixed."""
    examples: tuple[str, ...] = ()


@cache
def schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of the main file, short form ``tenant`` included."""
    made = Settings.model_json_schema(schema_generator=_InOurUnits)
    tenant = {"$ref": "#/$defs/Tenant", "description": "Short form of `tenants` for one tenant."}
    made["properties"]["tenant"] = tenant
    made["required"] = [key for key in made.get("required", []) if key != "tenants"]
    made["oneOf"] = [{"required": ["tenants"]}, {"required": ["tenant"]}]
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "m365-relay configuration"
    return made


def keys_at(path: KeyPath) -> tuple[str, ...]:
    """Give the keys allowed in the map at *path*, empty where names are free or no map is."""
    return tuple(sorted({key for option in _options(path) for key in option.get("properties", {})}))


def describe(path: KeyPath) -> Key | None:
    """Tell what may stand at *path*; names given by the administrator are passed over. None: no such key."""
    options = _options(path)
    if not options:
        return None
    around = _options(path[:-1]) if path else []
    own: dict[str, Any] = next(
        (option["properties"][path[-1]] for option in around if path[-1] in option.get("properties", {})), {}
    )
    facts = [own, *options]
    return Key(
        form=" or ".join(dict.fromkeys(_form(option) for option in options)),
        meaning=next((_words(fact["description"]) for fact in facts if "description" in fact), ""),
        default=next((fact["default"] for fact in facts if fact.get("default") is not None), None),
        required=any(path[-1] in option.get("required", ()) for option in around) if path else False,
        choices=tuple(str(choice) for option in options for choice in option.get("enum", ())),
        keys=keys_at(path),
        examples=tuple(example for option in options for example in option.get("examples", ())),
    )


def _words(description: str) -> str:
    """Give a docstring as running text, without its mark-up and the sources only developers have."""
    return " ".join(_SOURCE.sub("", description.replace("``", "")).split())


def _form(option: dict[str, Any]) -> str:
    kind = option.get("type", "")
    if "enum" in option or "const" in option:
        return "one of " + ", ".join(str(choice) for choice in option.get("enum", [option.get("const")]))
    if kind == "array":
        return "list"
    if kind == "object":
        return "map" if option.get("properties") else "map of names"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    text = words.get(kind, kind)
    return f"{text} such as {', '.join(option['examples'])}" if "examples" in option else text


def _options(path: KeyPath) -> list[dict[str, Any]]:
    """Give every schema that may describe the value at *path*."""
    found = _plain(schema())
    for part in path:
        found = [option for parent in found for option in _below(parent, part)]
    return found


def _below(parent: dict[str, Any], part: str | int) -> list[dict[str, Any]]:
    if part in parent.get("properties", {}):
        return _plain(parent["properties"][part])
    if parent.get("type") == "array":
        return _plain(parent.get("items", {}))
    inner = parent.get("additionalProperties") or next(iter(parent.get("patternProperties", {}).values()), None)
    return _plain(inner) if isinstance(inner, dict) else []


def _plain(option: dict[str, Any]) -> list[dict[str, Any]]:
    """Follow references and choices down to schemas that describe a value themselves; null is no choice."""
    for _ in range(MAX_REFERENCES):
        if "$ref" not in option:
            break
        option = schema()["$defs"][option["$ref"].rpartition("/")[2]]
    branches = option.get("anyOf") or (option.get("oneOf") if "properties" not in option else None)
    if branches:
        return [plain for branch in branches for plain in _plain(branch)]
    return [] if option.get("type") == "null" else [option]
