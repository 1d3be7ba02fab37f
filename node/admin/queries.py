"""Turns query strings and JSON bodies into typed values; pure. Bad input names the parameter and what was expected."""

from collections.abc import Iterable, Mapping

import msgspec

from node.errors import PermanentError
from node.policy.envelope import RecipientState
from node.policy.explain import Question
from node.spool.contract import Filter

LIMIT_MAX = 10_000
IDS_MAX = 1_000
ACT_PAGE = 1_000
"""Messages an action takes up at once when the caller names no limit."""
TEXT_MAX = 512
NUMBER_DIGITS_MAX = 15
"""Milliseconds until the year 33658; sizes beyond any disk."""
FILTER_KEYS = frozenset({"ids", "states", "client", "sender", "recipient", "reason", "since_ms", "until_ms", "limit"})
ROUTE_KEYS = frozenset({"sender", "recipient", "size", "client", "ip", "user", "plan"})


class BadRequestError(PermanentError):
    """A parameter is not usable; the text names it."""


def parameters(pairs: Iterable[tuple[str, str]], known: frozenset[str] = frozenset()) -> dict[str, str]:
    """Give the parameters of a query string. Unknown and repeated ones are refused: a typing error must not widen."""
    found: dict[str, str] = {}
    for name, value in pairs:
        _known(name, known)
        if name in found:
            raise BadRequestError(f"{name}: given twice")
        found[name] = value
    return found


def object_of(data: bytes, known: frozenset[str]) -> dict[str, object]:
    """Read a JSON object with none but the keys known."""
    try:
        body = msgspec.json.decode(data or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"body: not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequestError("body: expected a JSON object")
    for name in body:
        _known(name, known)
    return body


def text_of(body: Mapping[str, object], name: str, *, required: bool = False) -> str:
    """Give a text of a JSON object; empty when absent."""
    value = body.get(name, "")
    if not isinstance(value, str):
        raise BadRequestError(f"{name}: expected text")
    if required and not value:
        raise BadRequestError(f"{name}: is missing")
    return _text({name: value}, name)


def flag_of(body: Mapping[str, object], name: str) -> bool:
    """Give a truth value of a JSON object; False when absent."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadRequestError(f"{name}: expected true or false")
    return value


def filter_of(values: Mapping[str, str]) -> Filter:
    """Make a filter of ``ids, states, client, sender, recipient, reason, since_ms, until_ms, limit``."""
    ids = tuple(part for part in values.get("ids", "").split(",") if part)
    if len(ids) > IDS_MAX:
        raise BadRequestError(f"ids: at most {IDS_MAX}")
    return Filter(
        ids=ids,
        states=_states(values.get("states", "")),
        client=_text(values, "client"),
        sender=_text(values, "sender"),
        recipient=_text(values, "recipient"),
        reason=_text(values, "reason"),
        since_ms=_number(values, "since_ms", 0),
        until_ms=_number(values, "until_ms", 0),
        limit=limit_of(values),
    )


def filter_in(body: Mapping[str, object]) -> Filter:
    """Make a filter of the object under ``filter``: texts, whole numbers, lists of texts for ``ids`` and ``states``."""
    wanted = body.get("filter", {})
    if not isinstance(wanted, dict):
        raise BadRequestError("filter: expected a JSON object")
    values: dict[str, str] = {}
    for name, value in wanted.items():
        _known(name, FILTER_KEYS)
        if name in ("ids", "states") and isinstance(value, list) and all(isinstance(one, str) for one in value):
            values[name] = ",".join(value)
        elif isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            values[name] = str(value)
        else:
            raise BadRequestError(f"{name}: expected text or a whole number")
    return filter_of({"limit": str(ACT_PAGE), **values})


def names_nothing(which: Filter) -> bool:
    """Tell whether a filter names nothing: an operator's action on everything must say so on purpose."""
    return which == Filter(limit=which.limit)


def bounded(body: Mapping[str, object]) -> bool:
    """Tell whether the caller itself bounds the action: by a limit or by naming ids (at most a thousand)."""
    wanted = body.get("filter")
    return isinstance(wanted, dict) and bool(wanted.get("limit") or wanted.get("ids"))


def question_of(values: Mapping[str, str]) -> Question:
    """Make a question about a route; ``recipient`` is a must, no ``sender`` means the null sender."""
    if not values.get("recipient"):
        raise BadRequestError("recipient: is missing")
    return Question(
        sender=_text(values, "sender"),
        recipient=_text(values, "recipient"),
        size_bytes=_number(values, "size", 0),
        client=_text(values, "client"),
        ip=_text(values, "ip"),
        user=_text(values, "user"),
        plan=_text(values, "plan"),
    )


def _known(name: str, known: frozenset[str]) -> None:
    if name not in known:
        raise BadRequestError(f"unknown parameter {name[:40]!r}; known: {', '.join(sorted(known)) or 'none'}")


def _states(text: str) -> tuple[RecipientState, ...]:
    try:
        return tuple(RecipientState(part) for part in text.split(",") if part)
    except ValueError as error:
        raise BadRequestError(f"states: {error}; one of {', '.join(RecipientState)}") from None


def _text(values: Mapping[str, str], name: str) -> str:
    text = values.get(name, "")
    if len(text) > TEXT_MAX:
        raise BadRequestError(f"{name}: longer than {TEXT_MAX} characters")
    return text


def limit_of(values: Mapping[str, str]) -> int:
    """Give the most that shall be listed; raises BadRequestError."""
    limit = _number(values, "limit", 100)
    if not 1 <= limit <= LIMIT_MAX:
        raise BadRequestError(f"limit: expected 1 to {LIMIT_MAX}")
    return limit


def whole(text: str, name: str) -> int:
    """Read a whole number."""
    return _number({name: text}, name, 0)


def _number(values: Mapping[str, str], name: str, default: int) -> int:
    text = values.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > NUMBER_DIGITS_MAX:
        raise BadRequestError(f"{name}: expected a whole number, not {text[:40]!r}")
    return int(text)
