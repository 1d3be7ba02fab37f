"""A small validator for the parts of JSON Schema our own schema uses; unknown keywords make it fail loudly."""

import re

SAID_ONLY = {"title", "description", "default", "examples", "format", "$defs", "$schema"}
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


def problems(value, schema, root, path="$"):
    """Give what is wrong with *value*, as lines."""
    found = []
    for keyword, rule in schema.items():
        if keyword not in SAID_ONLY:
            found += RULES[keyword](value, rule, schema, root, path)
    return found


def _type(value, rule, schema, root, path):
    right = isinstance(value, TYPES[rule]) and not (isinstance(value, bool) and rule in {"integer", "number"})
    return [] if right else [f"{path}: no {rule}"]


def _ref(value, rule, schema, root, path):
    return problems(value, root["$defs"][rule.rpartition("/")[2]], root, path)


def _any(value, rule, schema, root, path):
    tried = [problems(value, option, root, path) for option in rule]
    return [] if [] in tried else [f"{path}: fits no choice ({min(tried, key=len)})"]


def _one(value, rule, schema, root, path):
    fits = sum(not problems(value, option, root, path) for option in rule)
    return [] if fits == 1 else [f"{path}: fits {fits} choices"]


def _properties(value, rule, schema, root, path):
    inside = value if isinstance(value, dict) else {}
    return [
        line for key, one in rule.items() if key in inside for line in problems(inside[key], one, root, f"{path}.{key}")
    ]


def _additional(value, rule, schema, root, path):
    known = schema.get("properties", {})
    extra = {key: inner for key, inner in value.items() if key not in known} if isinstance(value, dict) else {}
    if isinstance(rule, dict):
        return [line for key, inner in extra.items() for line in problems(inner, rule, root, f"{path}.{key}")]
    return [] if rule else [f"{path}.{key}: unknown" for key in extra]


def _pattern_properties(value, rule, schema, root, path):
    ((pattern, inner),) = rule.items()
    entries = value.items() if isinstance(value, dict) else ()
    return [
        line
        for key, one in entries
        if key not in schema.get("properties", {}) and re.search(pattern, key)
        for line in problems(one, inner, root, f"{path}.{key}")
    ]


def _items(value, rule, schema, root, path):
    entries = value if isinstance(value, list) else []
    return [line for index, one in enumerate(entries) for line in problems(one, rule, root, f"{path}[{index}]")]


def _compare(fits, words):
    return lambda value, rule, schema, root, path: [] if fits(value, rule) else [f"{path}: {words} {rule}"]


def _size(value, rule):
    return not isinstance(value, list | dict) or len(value) >= rule


RULES = {
    "type": _type,
    "$ref": _ref,
    "anyOf": _any,
    "oneOf": _one,
    "properties": _properties,
    "additionalProperties": _additional,
    "patternProperties": _pattern_properties,
    "items": _items,
    "propertyNames": lambda *_: [],
    "required": lambda value, rule, schema, root, path: [
        f"{path}: lacks {key}" for key in rule if isinstance(value, dict) and key not in value
    ],
    "enum": _compare(lambda value, rule: value in rule, "not one of"),
    "const": _compare(lambda value, rule: value == rule, "not"),
    "pattern": _compare(lambda value, rule: not isinstance(value, str) or re.search(rule, value), "does not match"),
    "minimum": _compare(lambda value, rule: not isinstance(value, int | float) or value >= rule, "below"),
    "maximum": _compare(lambda value, rule: not isinstance(value, int | float) or value <= rule, "above"),
    "exclusiveMinimum": _compare(lambda value, rule: not isinstance(value, int | float) or value > rule, "not above"),
    "minItems": _compare(_size, "fewer than"),
    "minProperties": _compare(_size, "fewer than"),
}
