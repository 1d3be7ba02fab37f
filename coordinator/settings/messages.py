"""Words for what the model refuses: what is wrong, the value found, what was expected; secrets are never shown."""

import difflib
import re
from collections.abc import Callable
from typing import Any

from coordinator.settings.places import KeyPath

KeysAt = Callable[[KeyPath], tuple[str, ...]]
"""Gives the keys known at a place."""

MAX_SHOWN = 60
"""Characters of a wrong value that are repeated to the reader."""
_SECRETIVE = frozenset({"secret", "password", "certificate_password", "hash", "key", "headers"})
_USERINFO = re.compile(r"//[^/@\s]*@")
_EXPECTED = {
    "string_type": "expected a text",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "dict_type": "expected a map (key: value)",
    "model_type": "expected a map (key: value)",
    "model_attributes_type": "expected a map (key: value)",
    "tuple_type": "expected a list such as [one, two]",
    "list_type": "expected a list such as [one, two]",
    "path_type": "expected a path",
}
_PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$": "expected a name of letters, digits, dots, dashes (at most 63 characters)",
    r"^[a-z0-9][a-z0-9-]{0,62}$": "expected a name of small letters, digits and dashes (at most 63 characters)",
}


def wording(error: Any, path: KeyPath, keys_at: KeysAt) -> str:
    """Say what is wrong with the value at *path*, given one of pydantic's error details."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "unknown key" + _near(str(path[-1]), keys_at(path[:-1]))
    if kind == "value_error":
        return str(context.get("error", error["msg"])) if not _secretive(path) else "not usable; " + _secret_hint(error)
    if context.get("class_name") == "SecretRef":
        return "expected where the secret lies: {file: PATH}, {credential: NAME} or {env: NAME}"
    return _expected(kind, context, error) + shown(error.get("input"), path)


def shown(value: Any, path: KeyPath) -> str:
    """Repeat a wrong value, cut short; nothing of maps, lists, and whatever may be secret."""
    if _secretive(path) or isinstance(value, dict | list | tuple):
        return ""
    if value is None:
        return ", found nothing"
    text = _USERINFO.sub("//***@", value) if isinstance(value, str) else value
    plain = repr(text)
    return f", found {plain if len(plain) <= MAX_SHOWN else plain[:MAX_SHOWN] + '…'}"


def _expected(kind: str, context: dict[str, Any], error: Any) -> str:
    if kind in {"literal_error", "enum"}:
        choices = [part.strip(" '") for part in re.split(r",| or ", context.get("expected", ""))]
        return f"expected one of {', '.join(choices)}" + _near(str(error.get("input")), choices)
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"expected a text of the form {context['pattern']}")
    if kind == "too_short":
        return f"expected at least {context['min_length']} entry" if context["min_length"] == 1 else str(error["msg"])
    if kind in {"greater_than_equal", "less_than_equal"}:
        return (
            f"expected a value from {context['ge']}" if "ge" in context else f"expected a value up to {context['le']}"
        )
    text = _EXPECTED.get(kind, str(error["msg"]))
    number = kind == "string_type" and isinstance(error.get("input"), int | float)
    return f'{text} (write it in "quotes")' if number else text


def _secretive(path: KeyPath) -> bool:
    last = next((part for part in reversed(path) if isinstance(part, str)), "")
    return last == "passwords" or any(part in _SECRETIVE for part in path)


def _secret_hint(error: Any) -> str:
    return "name exactly one of file, credential or env" if "exactly one" in error["msg"] else "see `config explain`"


def _near(word: str, candidates: Any) -> str:
    near = difflib.get_close_matches(word.lower(), list(candidates), n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known here: {', '.join(candidates)}" if 0 < len(candidates) <= 40 else ""  # noqa: PLR2004 - fits a screen
