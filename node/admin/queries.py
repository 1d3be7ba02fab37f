"""Turns query strings and JSON bodies into filters; pure. Bad input names the parameter and what was expected."""

from collections.abc import Mapping

from node.errors import PermanentError
from node.policy.envelope import RecipientState
from node.spool.contract import Filter

LIMIT_MAX = 10_000
IDS_MAX = 1_000
TEXT_MAX = 512


class BadRequestError(PermanentError):
    """A parameter is not usable; the text names it."""


def filter_of(values: Mapping[str, str]) -> Filter:
    """Make a filter of ``ids, states, client, sender, recipient, reason, since_ms, until_ms, limit``."""
    known = {"ids", "states", "client", "sender", "recipient", "reason", "since_ms", "until_ms", "limit"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise BadRequestError(f"unknown parameter {unknown[0]!r}; known: {', '.join(sorted(known))}")
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
        limit=min(_number(values, "limit", 100), LIMIT_MAX),
    )


def is_empty(which: Filter) -> bool:
    """Tell whether a filter names nothing: an operator's action on everything must say so on purpose."""
    return which == Filter(limit=which.limit)


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


def _number(values: Mapping[str, str], name: str, default: int) -> int:
    text = values.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 15:  # noqa: PLR2004 - milliseconds until the year 33658
        raise BadRequestError(f"{name}: expected a whole number, not {text[:40]!r}")
    return int(text)
