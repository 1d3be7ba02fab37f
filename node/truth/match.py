"""Whether a report concerns what was delivered: id, recipient, state, way and time must all fit. Pure.

A report may speak of one message only, and of recipients that stand as delivered there. Who could have written it was
settled before: by the key in the address it went to, or because it lay in a mailbox the message was sent from.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from node.policy.envelope import RecipientState
from node.policy.ndr.values import Notice, Returned, Said
from node.policy.return_path import PATHS
from node.spool.contract import MessageView, Queued
from node.spool.outcomes import BOUNCED_LATER
from node.truth.contract import HOW_FAR, SKEW_MS, WINDOW_MS, Came

MAILBOX_PATHS: Final = frozenset({"submission", "graph", "hve", "direct-send"})
"""Paths whose reports go to a mailbox: the login's or the From's (operations A11)."""
NO_MAILBOX: Final = frozenset({"hve", "direct-send"})
"""Of these only the sender's: a mail user for High Volume Email has none, by direct send nobody logs in (facts m365
§1.1 C and D, §1.2). By direct send it is so where no return path of ours was the envelope sender."""


class Match(NamedTuple):
    """One recipient a report is right about."""

    queued: Queued
    returned: Returned


class Matches(NamedTuple):
    """What fits of a report."""

    found: tuple[Match, ...]
    why: str
    """Why nothing did; ``repeated``: it is known already; empty if something was found."""


def failures(notice: Notice) -> tuple[Returned, ...]:
    """Give the recipients a report says failed for good."""
    return tuple(one for one in notice.recipients if one.said is Said.FAILED)


def matches(view: MessageView | None, notice: Notice, came: Came, at_ms: int, *, keyed: bool) -> Matches:
    """Compare a report with one message; ``keyed``: the address it went to proves that it is about this one.

    ``at_ms``: when the report came.
    """
    if view is None:
        return Matches((), "message")
    by_address = _by_address(view)
    told = _told(view)
    found: dict[int, Match] = {}
    reached = [_one(view, by_address, told, one, came, at_ms, keyed=keyed) for one in failures(notice)]
    for match, _ in reached:
        if match is not None:
            found.setdefault(match.queued.index, match)
    if found:
        return Matches(tuple(found.values()), "")
    reasons = {why for _, why in reached}
    if "repeated" in reasons:
        return Matches((), "repeated")
    return Matches((), max(reasons, key=HOW_FAR.index, default="recipient"))


def _one(
    view: MessageView,
    by_address: Mapping[str, Queued],
    told: Mapping[int, dict[str, int]],
    one: Returned,
    came: Came,
    at_ms: int,
    *,
    keyed: bool,
) -> tuple[Match | None, str]:
    queued = by_address.get(one.final.lower()) or by_address.get(one.original.lower())
    if queued is None:
        return None, "recipient"
    events = told.get(queued.index, {})
    if queued.state is not RecipientState.DELIVERED:
        return None, "repeated" if BOUNCED_LATER in events else "state"
    if not way_fits(view, queued.last_way, came, keyed=keyed):
        return None, "way"
    delivered_ms = events.get("delivered", view.message.received_ms)
    # Sent long before it was known to be: an answer that was lost and looked for.
    begun_ms = min(delivered_ms, events.get("claimed", delivered_ms))
    if not begun_ms - SKEW_MS <= at_ms <= delivered_ms + WINDOW_MS:
        return None, "window"
    return Match(queued, one), ""


def way_fits(view: MessageView, way: str, came: Came, *, keyed: bool) -> bool:
    """Tell whether a report on a delivery by this way (``path:tenant/mailbox``) can come as this one did."""
    path, _, account = way.partition(":")
    if keyed:
        return path in PATHS
    if not came.mailbox or path not in MAILBOX_PATHS:
        return False
    tenant, _, login = account.partition("/")
    own = {view.message.header_from.lower(), view.message.mail_from.lower()}
    if path not in NO_MAILBOX:
        own.add(login.lower())
    return came.mailbox.lower() in own and tenant == came.tenant


def _by_address(view: MessageView) -> dict[str, Queued]:
    """Recipients by address, as delivered to and as the client named them; the first counts."""
    found: dict[str, Queued] = {}
    for queued in view.recipients:
        found.setdefault(queued.address.lower(), queued)
    for queued in view.recipients:
        if queued.original:
            found.setdefault(queued.original.lower(), queued)
    found.pop("", None)
    return found


def _told(view: MessageView) -> dict[int, dict[str, int]]:
    """By recipient, when each event was last told."""
    told: dict[int, dict[str, int]] = {}
    for line in view.lines:
        for index in line.indexes:
            told.setdefault(index, {})[line.event] = line.at_ms
    return told
