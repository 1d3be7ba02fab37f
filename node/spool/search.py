"""What a Filter means: search keys of addresses, and whether a message or a recipient fits.

Pure. Keys put the domain first, so that one index answers both ``app@contoso.com`` and ``*@contoso.com``.
"""

from collections.abc import Iterable

from node.policy.envelope import NewMessage, RecipientState
from node.spool.contract import Filter, MessageView, Queued
from node.spool.pages import Page, Spot

MAX_LIMIT = 1_000
"""Most messages one listing or one operator's action touches; callers repeat until nothing changes."""

_LAST = "\U0010ffff"
_WILDCARD = "*@"


def key_of(address: str) -> str:
    """``App@Contoso.com`` → ``contoso.com@app``; the null sender stays empty."""
    local, _, domain = address.rpartition("@")
    return f"{domain}@{local}".lower() if address else ""


def range_of(pattern: str) -> tuple[str, str]:
    """First and last key of an address or ``*@domain``; two empty strings match everything."""
    if pattern.startswith(_WILDCARD):
        first = pattern[len(_WILDCARD) :].lower() + "@"
        return first, first + _LAST
    key = key_of(pattern)
    return key, key


def params_of(which: Filter) -> dict[str, str | int]:
    """The named parameters of the ``find_*`` queries."""
    sender_lo, sender_hi = range_of(which.sender)
    recipient_lo, recipient_hi = range_of(which.recipient)
    return {
        "client": which.client,
        "sender_lo": sender_lo,
        "sender_hi": sender_hi,
        "recipient_lo": recipient_lo,
        "recipient_hi": recipient_hi,
        "reason": which.reason,
        "states": "".join(f",{state.value}" for state in which.states) + ("," if which.states else ""),
        "since_ms": which.since_ms,
        "until_ms": which.until_ms,
        "limit": max(0, min(which.limit, MAX_LIMIT)),
    }


def picks_state(which: Filter, state: RecipientState, reason: str) -> bool:
    """Whether the half of the filter that can change with time fits a recipient."""
    return (not which.states or state in which.states) and (not which.reason or which.reason == reason)


def picks(which: Filter, queued: Queued) -> bool:
    """Whether one recipient fits: state, reason and address together."""
    if not picks_state(which, queued.state, queued.last_reason):
        return False
    return not which.recipient or _within(which.recipient, queued.address, queued.original)


def chosen(which: Filter, views: list[MessageView]) -> dict[str, tuple[int, ...]]:
    """Message id to the recipients an operator's action means."""
    return {view.message.id: tuple(q.index for q in view.recipients if picks(which, q)) for view in views}


def matches(which: Filter, view: MessageView) -> bool:
    """Whether a message fits: its own facts, and at least one recipient."""
    message = view.message
    if which.ids and message.id not in which.ids:
        return False
    if which.client and which.client != message.client:
        return False
    if message.received_ms < which.since_ms or (which.until_ms and message.received_ms >= which.until_ms):
        return False
    if which.sender and not _within(which.sender, message.header_from, message.mail_from):
        return False
    return any(picks(which, queued) for queued in view.recipients)


def spot_of(view: MessageView) -> Spot:
    """Where a message stands in the order of history."""
    return Spot(received_ms=view.message.received_ms, id=view.message.id)


def page_of(views: Iterable[MessageView], limit: int, before: Spot | None) -> Page:
    """Give the first page beyond a place of all that fits."""
    rest = sorted((each for each in views if before is None or spot_of(each) < before), key=spot_of, reverse=True)
    page = tuple(rest[: max(1, min(limit, MAX_LIMIT))])
    return Page(messages=page, looked_to=spot_of(page[-1]) if len(rest) > len(page) else None)


def sender_keys(message: NewMessage) -> tuple[str, str | None]:
    """Key of the header sender, and of the envelope sender where it differs."""
    header, envelope = key_of(message.header_from), key_of(message.mail_from)
    return header, envelope if envelope and envelope != header else None


def _within(pattern: str, *addresses: str) -> bool:
    first, last = range_of(pattern)
    return any(address and first <= key_of(address) <= last for address in addresses)
