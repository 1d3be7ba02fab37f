"""Refusals at the door, each with a stable word: for a client nobody names, a sender or a recipient a rule forbids."""

import msgspec

from node.policy.clients import ClientRule, To
from node.policy.envelope import Direction


class Denial(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal: what the client is told, and a stable word for metrics and the journey."""

    code: int
    enhanced: str
    text: str
    reason: str

    def __str__(self) -> str:
        """Give the reply as one line."""
        return f"{self.code} {self.enhanced} {self.text}"


def no_rule(peer: str, *, auth_possible: bool) -> Denial:
    """The refusal of I8: nobody named this client."""
    if auth_possible:
        return Denial(code=530, enhanced="5.7.0", text="authentication required", reason="auth_required")
    return Denial(code=550, enhanced="5.7.1", text=f"no client rule names {peer or 'you'}", reason="no_rule")


def sender_denial(client: ClientRule, sender: str, what: str) -> Denial | None:
    """Refuse a (rewritten, canonical) sender the rule does not name; ``what``: sender, From, Sender..."""
    if not sender:
        if client.null_sender:
            return None
        text = f"client {client.name!r} may not use the null sender"
        return Denial(code=550, enhanced="5.7.1", text=text, reason="sender_not_allowed")
    if "@" not in sender:
        return Denial(code=550, enhanced="5.1.7", text=f"the {what} has no domain", reason="sender_no_domain")
    if client.senders.matches(sender):
        return None
    text = f"client {client.name!r} may not use this {what}"
    return Denial(code=550, enhanced="5.7.1", text=text, reason="sender_not_allowed")


def recipient_denial(client: ClientRule, address: str, direction: Direction) -> Denial | None:
    """Refuse a (resolved, canonical) recipient the rule does not allow."""
    if client.deny and client.deny.matches(address):
        text = f"client {client.name!r} may not send to this recipient (deny)"
        return Denial(code=550, enhanced="5.7.1", text=text, reason="recipient_denied")
    if client.redirect or client.to is To.ANY or direction is Direction.INTERNAL or client.allow.matches(address):
        return None
    text = f"client {client.name!r} may send to internal recipients only"
    return Denial(code=550, enhanced="5.7.1", text=text, reason="recipient_external")
