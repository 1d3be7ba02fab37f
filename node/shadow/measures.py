"""What telemetry hears of second copies: numbers of batches, waits and moves; ``relay.shadow``, ``relay.adopt``.

What comes in batches is counted once a batch. A message on its way costs one wait noted and, if spans go anywhere and
its trace is sampled, one span. Nothing here waits or raises.
"""

from collections.abc import Mapping
from enum import StrEnum
from time import time_ns
from typing import Final

from coordinator.ownership.views import View
from node.policy.envelope import NewMessage
from node.telemetry.context import parse, recorded
from node.telemetry.contract import FinishedSpan, Telemetry

NUMBERS_MAX: Final = 4_096
"""Pairings of which the epoch is remembered: as many as there can be mail of, and then some."""
LINKS_MAX: Final = 16
"""Attempts a takeover is linked to."""
_NS: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000


class Outcome(StrEnum):
    """What became of a message's copy when its client was answered."""

    COPIED = "copied"
    UNPROTECTED = "unprotected"
    """Answered 250 without one."""
    REFUSED = "refused"
    """Answered 451 for want of one."""


class Measures:
    """Numbers and spans of one node's second copies; without ``telemetry`` nothing is told."""

    def __init__(self, telemetry: Telemetry | None = None, *, node: str = "", traced: bool = True) -> None:
        """``traced``: whether spans go anywhere; if not, none is made."""
        self._telemetry, self._node, self._traced = telemetry, node, traced
        self._epochs: dict[int, int] = {}

    def count(self, name: str, amount: int, **labels: str) -> None:
        """Add to a counter of the catalogue; nothing if there is nothing to add."""
        if self._telemetry is not None and amount:
            self._telemetry.count(name, amount, **labels)

    # ---- pairings by number ------------------------------------------------------------------------------------------

    def learn(self, epochs: Mapping[int, int]) -> None:
        """Remember which epochs the spool's numbers of pairings stand for."""
        self._epochs.update(epochs)
        while len(self._epochs) > NUMBERS_MAX:
            del self._epochs[min(self._epochs)]

    def epoch(self, number: int) -> int:
        """Give the epoch of the pairing that mail belongs to; 0: it is here alone."""
        return self._epochs.get(number, 0)

    # ---- copies sent -------------------------------------------------------------------------------------------------

    def sent(self, node: str, copies: int, size_bytes: int) -> None:
        """A batch is durable at another node."""
        self.count("relay_copies_sent_batches", 1, node=node)
        self.count("relay_copies_sent_bytes", size_bytes, node=node)
        self.count("relay_copies_sent", copies, node=node)

    def crossed(
        self, message: NewMessage, outcome: Outcome, to: View | None = None, began_ns: int = 0, ended_ns: int = 0
    ) -> None:
        """Take what became of a message's copy. ``to``: the pairing it was sent under, if it was."""
        telemetry = self._telemetry
        if telemetry is None:
            return
        if outcome is Outcome.COPIED:
            telemetry.observe("relay_copy_seconds", max(0, ended_ns - began_ns) / _NS)
        elif outcome is Outcome.REFUSED:
            telemetry.count("relay_copies_refused", client=message.client)
        if self._traced and (outcome is Outcome.REFUSED or not message.traceparent.endswith("-00")):
            self._shadow_span(telemetry, message, outcome, to, (began_ns, ended_ns))

    def _shadow_span(
        self, telemetry: Telemetry, message: NewMessage, outcome: Outcome, to: View | None, times_ns: tuple[int, int]
    ) -> None:
        receive, refused = parse(message.traceparent), outcome is Outcome.REFUSED
        if receive is None or not (receive.sampled or refused):
            return
        began_ns = times_ns[0] or time_ns()
        telemetry.span(
            FinishedSpan(
                name="relay.shadow",
                context=telemetry.child(receive),
                parent_span_id=receive.span_id,
                start_ns=began_ns,
                end_ns=max(began_ns, times_ns[1]),
                attributes={
                    "relay.queue_id": message.id,
                    "relay.shadow": to.key.shadow if to is not None else "",
                    "relay.epoch": to.epoch if to is not None else 0,
                    "relay.outcome": outcome.value,
                },
                error="no copy on another machine" if refused else "",
            )
        )

    def turned_away(self, word: str) -> None:
        """What another node sent to be kept here was refused with this word."""
        self.count("relay_copies_turned_away", 1, reason=word)

    # ---- mail taken over ---------------------------------------------------------------------------------------------

    def adopted(self, message: NewMessage, origin: str, epoch: int, began_ns: int, *before: str) -> None:
        """A message is this node's now, under this epoch, and durable in its spool; *origin* had accepted it.

        Its span is reported whatever the share of traces that is recorded: without it a trace would end at a node that
        is gone. Long after the acceptance it begins a trace of its own, linked to that one (as attempts do). *before*:
        contexts of the attempts made there, which it is linked to.
        """
        telemetry = self._telemetry
        if telemetry is None or not self._traced:
            return
        ended_ns = time_ns()
        tried = sorted(set(before))[:LINKS_MAX]
        place = telemetry.follow(message.traceparent, message.received_ms, ended_ns // _NS_PER_MS, *tried)
        telemetry.span(
            FinishedSpan(
                name="relay.adopt",
                context=recorded(place.context),
                parent_span_id=place.parent_span_id,
                start_ns=min(began_ns, ended_ns),
                end_ns=ended_ns,
                attributes={
                    "relay.queue_id": message.id,
                    "relay.node": self._node,
                    "relay.from": origin,
                    "relay.epoch": epoch,
                },
                links=place.links,
            )
        )
