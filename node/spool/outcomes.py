"""By which event a judged result moves its recipient. Pure."""

from typing import Final

from node.policy.envelope import RecipientState
from node.policy.lifecycle import Event, event_towards
from node.spool.contract import RecipientResult
from node.spool.errors import WrongRequest

BOUNCED_LATER: Final = "bounced_later"
"""Event of ``finish`` for what the upstream took and reported afterwards to have failed."""


def towards(result: RecipientResult, event: str) -> Event:
    """Name the event; ``event`` is what the journey will say. Raises WrongRequest for a late report of success."""
    if event != BOUNCED_LATER:
        return event_towards(result.state)
    if result.state is not RecipientState.BOUNCED:
        raise WrongRequest(f"a delivered recipient can only be bounced later, not {result.state.value}")
    return Event.RETURN
