"""Admission of clients' messages by rate and recipients: reserved at the door, counted on acceptance (operations A8).

Knows limits by client name and nothing of who a client is. One state per client with a limit.
"""

from collections.abc import Mapping

from coordinator.budget.day import DayCounter
from node.cluster.contract import BudgetUse, Refusal
from node.cluster.limits import ClientLimits
from node.cluster.scopes import Client
from node.cluster.usage import client_lines


class ClientDesk:
    """The client half of the Budgets contract."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}

    def admit(self, client: str, recipients: int, now_ms: int) -> Refusal | None:
        """Reserve one message and its recipients, or say when to come again."""
        state = self._clients.get(client)
        if state is None:
            return None
        early_ms = state.rate.next_ms(now_ms)
        if early_ms > now_ms:
            return Refusal(reason="rate", retry_ms=early_ms)
        refusal = _recipients(state, recipients, now_ms)
        if refusal is None:
            state.rate.reserve(now_ms)
        return refusal

    def admit_recipients(self, client: str, recipients: int, now_ms: int) -> Refusal | None:
        """Reserve more recipients of a message already admitted."""
        state = self._clients.get(client)
        return None if state is None else _recipients(state, recipients, now_ms)

    def done(self, client: str, reserved: int, used: int, now_ms: int) -> None:
        """Count what was accepted, give back the rest; 0 used is a message given up."""
        state = self._clients.get(client)
        if state is None:
            return
        # A client first limited by a reload while its message came in has reserved nothing.
        reserved = min(reserved, state.recipients.reserved)
        state.recipients.settle(reserved, max(0, min(used, reserved)), now_ms)
        if state.rate.reserved == 0:
            return
        if used > 0:
            state.rate.count(now_ms)
        else:
            state.rate.release()

    def reload(self, limits: Mapping[str, ClientLimits], now_ms: int) -> None:
        """Put new limits in force; a client no longer listed is kept, unlimited, until nothing of it is counted."""
        for client in limits.keys() | self._clients.keys():
            known, wanted = self._clients.get(client), limits.get(client, ClientLimits())
            if known is None:
                self._clients[client] = Client(wanted)
            elif known.limits != wanted:
                known.resize(wanted, now_ms)
        for client in [name for name, held in self._clients.items() if held.at_rest(now_ms)]:
            if client not in limits:
                del self._clients[client]

    def counters(self) -> dict[str, DayCounter]:
        """The recipient counters by client."""
        return {client: state.recipients for client, state in self._clients.items()}

    def use(self, now_ms: int) -> list[BudgetUse]:
        """One line for each limit of each client."""
        return [line for client, state in self._clients.items() for line in client_lines(client, state, now_ms)]


def _recipients(state: Client, recipients: int, now_ms: int) -> Refusal | None:
    if state.recipients.reserve(recipients, now_ms):
        return None
    return Refusal(reason="recipients", retry_ms=state.recipients.free_at_ms(recipients, now_ms))
