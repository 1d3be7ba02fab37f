"""The words of our reports: bland, helpful, ASCII, and never more of a foreign text than 512 printable characters."""

from enum import StrEnum
from typing import Final

from node.policy.reply import printable


class Action(StrEnum):
    """What became of a recipient (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


SUBJECTS: Final = {
    Action.FAILED: "Your message could not be delivered",
    Action.DELAYED: "Your message is delayed",
    Action.DELIVERED: "Your message was delivered",
    Action.RELAYED: "Your message was handed over",
}
_OPENINGS: Final = {
    Action.FAILED: "Your message could not be delivered to:",
    Action.DELAYED: "Your message has not been delivered yet. There is nothing to do: it is tried again. Waiting are:",
    Action.DELIVERED: "Your message was delivered to:",
    Action.RELAYED: "Your message was handed to a mail system that may send no confirmation of its own, for:",
}
_CLOSINGS: Final = {
    Action.FAILED: "It is not tried again. Please correct what is named above and send the message once more, or ask\n"
    "your mail team and give them the id below.",
    Action.DELAYED: "You are told if it cannot be delivered in the end.",
    Action.DELIVERED: "",
    Action.RELAYED: "",
}
_LOST: Final = "It was sent, but the confirmation was lost. It may have arrived; check before you send again."
_REASONS: Final = {
    "recipient_unknown": "There is no such address.",
    "recipient_unavailable": "There is no such mailbox, or it takes no mail.",
    "recipient_invalid": "The address is not written correctly.",
    "directory_block": "There is no such address.",
    "recipient_inside_only": "The recipient takes mail from inside or from listed senders only.",
    "recipient_inside_only_anonymous": "The recipient takes mail from inside or from listed senders only.",
    "message_too_large": "The message is too large.",
    "message_over_size_limit": "The message is too large.",
    "message_too_large_for_recipient": "The message is too large for this recipient.",
    "header_too_large": "The header of the message is too large.",
    "mail_flow_rule": "A mail rule of the organisation refused the message.",
    "routing_loop": "The message goes round in a loop.",
    "too_large": "The message is larger than any way out of here allows.",
    "sender_not_allowed": "No account of this relay may send from this sender address.",
    "send_as_denied": "No account of this relay may send from this sender address.",
    "sender_not_permitted": "No account of this relay may send from this sender address.",
    "expired": "It was tried until its time ran out.",
    "unknown_bounce": _LOST,
    "unknown_expired": _LOST,
}
_STATUSES: Final = {
    "expired": "5.4.7",
    "too_large": "5.3.4",
    "sender_not_allowed": "5.7.1",
    "unknown_bounce": "5.4.2",
    "unknown_expired": "5.4.2",
}
_LINE_BYTES: Final = 900
"""A text without spaces cannot be folded; with what stands before it, it stays below 998 octets (RFC 5322 §2.1.1)."""
LISTED: Final = 50
"""Recipients named in the part for people; the machine's part names all."""


def one_line(text: str) -> str:
    """Make a foreign text safe to show and to put in a header field: one line, printable, 512 characters at most."""
    return printable(text).encode()[:_LINE_BYTES].decode("utf-8", "ignore")


def default_status(action: Action, reason: str) -> str:
    """Give the RFC 3463 code where the upstream gave none that fits."""
    if action in (Action.DELIVERED, Action.RELAYED):
        return "2.0.0"
    if action is Action.DELAYED:
        return "4.0.0"
    return _STATUSES.get(reason, "5.0.0")


def plain_words(reason: str) -> str:
    """Say in one sentence what a reason means; empty if the upstream's words must do."""
    return _REASONS.get(reason, "")


def report_text(
    action: Action, hostname: str, message_id: str, subject: str, recipients: list[tuple[str, str, str]]
) -> str:
    """Write the part for people; recipients as (address, reason, upstream's words)."""
    lines = [f"This is the mail relay {hostname}.", "", _OPENINGS[action], ""]
    for address, reason, reply in recipients[:LISTED]:
        lines.append(f"  {one_line(address)}")
        words = plain_words(reason)
        if words:
            lines.append(f"    {words}")
        if reply:
            lines.append(f"    The other side said: {one_line(reply)}")
    if len(recipients) > LISTED:
        lines.append(f"  and {len(recipients) - LISTED} more, named in the attached report")
    if _CLOSINGS[action]:
        lines += ["", _CLOSINGS[action]]
    lines += ["", f"Message: {printable(subject, 200) or '(no subject)'}", f"Id: {printable(message_id)}", ""]
    return "\n".join(lines)
