"""Whose turn it is: priorities, then clients in turn, then a client's lanes in turn. Pure; knows neither time nor ways.

Urgent goes first, strictly, with two exceptions that keep the others alive however much urgent mail there is: of
twenty starts one is offered to bulk first, and one to normal first. The budgets keep a reserve for urgent mail besides,
so the exceptions never use up what urgent mail needs; and where nothing of the favoured class waits, the next class
takes the turn. Inside a class each *client* has the same share, however many lanes (sender domains, directions) it has.
"""

from collections import OrderedDict
from collections.abc import Iterator

from node.policy.envelope import Priority

WHEEL = 20
"""Starts in one turn of the wheel."""
BULK_AT = 19
NORMAL_AT = 9

_URGENT, _NORMAL, _BULK = Priority.URGENT, Priority.NORMAL, Priority.BULK
_USUAL = (_URGENT, _NORMAL, _BULK)
_FOR_NORMAL = (_NORMAL, _URGENT, _BULK)
_FOR_BULK = (_BULK, _URGENT, _NORMAL)


def order_at(turn: int) -> tuple[Priority, Priority, Priority]:
    """Give the order of classes for the n-th start."""
    place = turn % WHEEL
    if place == BULK_AT:
        return _FOR_BULK
    return _FOR_NORMAL if place == NORMAL_AT else _USUAL


def owner_of(lane: str) -> tuple[Priority, str]:
    """Read priority and client from a lane's name (node/policy/envelope.py, ``lane_of``)."""
    priority, client = lane.split("/", 2)[:2]
    return Priority(priority), client


class Fair:
    """Lanes that may have mail to send. Every operation is constant time but ``in_turn``, which walks."""

    def __init__(self) -> None:
        """Start empty."""
        self._classes: dict[Priority, OrderedDict[str, OrderedDict[str, None]]] = {
            priority: OrderedDict() for priority in _USUAL
        }
        self._turn = 0

    def add(self, lane: str) -> None:
        """Put a lane in line; once is enough."""
        priority, client = owner_of(lane)
        self._classes[priority].setdefault(client, OrderedDict()).setdefault(lane)

    def remove(self, lane: str) -> None:
        """Take a lane out of line."""
        priority, client = owner_of(lane)
        lanes = self._classes[priority].get(client)
        if lanes is not None:
            lanes.pop(lane, None)
            if not lanes:
                del self._classes[priority][client]

    def in_turn(self) -> Iterator[str]:
        """Walk all lanes in the order in which they may start one attempt now; call ``served`` for the one that did."""
        for priority in order_at(self._turn):
            for lanes in list(self._classes[priority].values()):
                yield from list(lanes)

    def served(self, lane: str) -> None:
        """A start happened: lane and client go to the end of their lines, and the wheel moves on."""
        self._turn += 1
        priority, client = owner_of(lane)
        clients = self._classes[priority]
        lanes = clients.get(client)
        if lanes is not None:
            clients.move_to_end(client)
            if lane in lanes:
                lanes.move_to_end(lane)
