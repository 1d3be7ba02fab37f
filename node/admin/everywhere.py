"""What the administration interface asks of every node's queue at once; the composition root answers."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from node.admin.queries import BadRequestError
from node.policy.proof import Credential
from node.spool.contract import Filter, MessageView

FORM: Final = 1
"""Of orders between nodes; to be raised with every new way to narrow them."""
ROUNDS_MAX: Final = 20
"""Rounds of one request: the spool changes a thousand messages in each; the answer says whether more remain."""


class Place(StrEnum):
    """In what a node has a message."""

    SPOOL = "spool"
    """Its own mail, live or in history."""
    COPY = "copy"
    """Kept for the node whose mail it is."""
    PAST = "past"
    """History of settled mail of another node's."""
    SHUT = "shut"
    """A spool that is not in use: quarantined, or not yet judged. Another node may have this message by now."""


class Found(MessageView, frozen=True, kw_only=True):
    """A message, and who has it."""

    node: str
    place: Place = Place.SPOOL
    protected: bool | None = None
    """Whether another machine has it too; None: it is settled, nobody wants a second copy, or there are no peers."""


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """What the nodes have."""

    messages: tuple[Found, ...]
    missing: dict[str, str] = msgspec.field(default_factory=dict)
    """Nodes whose part is not in it, or not all of it, and why."""


class Action(StrEnum):
    """What an operator can do to messages that wait."""

    HOLD = "hold"
    RELEASE = "release"
    DELETE = "delete"


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An action on what a filter means."""

    form: int = FORM
    """Another form's filter may mean less than it seems to whoever does not know it."""
    action: Action
    which: Filter
    actor: str
    reason: str = ""
    rounds: int = ROUNDS_MAX
    """1: the caller bounds it by a limit or by ids."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    changed: int
    more: bool = False
    """There may be more: ask again."""
    by_node: dict[str, int] = msgspec.field(default_factory=dict)
    """Recipients changed, by node; those that changed none are left out."""
    missing: dict[str, str] = msgspec.field(default_factory=dict)
    """Nodes of which it is not known whether they did it, and why."""


class Everywhere(Protocol):
    """The queues of all nodes; of a node without peers only its own."""

    async def find(self, which: Filter, *, here: bool = False) -> Gathered:
        """Give messages of every node's spool, newest first, without journeys; at most ``which.limit``.

        ``here``: only this node's.
        """
        ...

    async def trace(self, message_id: str, *, here: bool = False) -> Gathered:
        """Give one message with its journey from every node that has anything of it, the best first."""
        ...

    async def act(self, order: Order, credential: Credential | None = None) -> Done:
        """Do it on every node; others do it only for whoever proves who he is."""
        ...

    async def act_here(self, order: Order) -> Done:
        """Do it on this node only."""
        ...


def action_of(text: str) -> Action:
    """Read an action; raises BadRequestError."""
    if text not in [each.value for each in Action]:
        raise BadRequestError(f"action: expected one of {', '.join(Action)}, not {text[:40]!r}")
    return Action(text)


def here_of(values: Mapping[str, str]) -> bool:
    """Read whether only this node is meant; raises BadRequestError."""
    here = values.get("here", "false")
    if here not in ("true", "false"):
        raise BadRequestError("here: expected true or false")
    return here == "true"
