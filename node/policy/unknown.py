"""What becomes of a recipient whose attempt was sent but never answered, by its class (design §1 I5, operations A4)."""

import msgspec

from node.policy.envelope import OnUnknown, RecipientState


class UnknownStep(msgspec.Struct, frozen=True, kw_only=True):
    """The next state of a recipient with an unknown outcome."""

    state: RecipientState
    reason: str
    report: bool
    """A bounce that says "perhaps delivered" is due."""
    next_attempt_ms: int = 0


def settle_unknown(on_unknown: OnUnknown, now_ms: int, expires_ms: int, *, resend_after_s: float = 60.0) -> UnknownStep:
    """Decide for one recipient; ``resend_after_s`` gives the upstream time to finish what it may be doing.

    ``resend`` may duplicate and never loses; ``bounce`` may tell the sender of a failure that was none, and never
    duplicates; ``verify`` waits for a proof of delivery or a person: it neither duplicates nor guesses, even after
    the expiry, since a bounce would be a guess.
    """
    if on_unknown is OnUnknown.VERIFY:
        return UnknownStep(state=RecipientState.UNKNOWN, reason="unknown_verify", report=False)
    due_ms = now_ms + round(resend_after_s * 1000)
    if on_unknown is OnUnknown.RESEND and due_ms < expires_ms:
        return UnknownStep(state=RecipientState.DEFERRED, reason="unknown_resend", report=False, next_attempt_ms=due_ms)
    reason = "unknown_bounce" if on_unknown is OnUnknown.BOUNCE else "unknown_expired"
    return UnknownStep(state=RecipientState.BOUNCED, reason=reason, report=True)
