"""From an HTTP answer to a reply the table can judge (policy/table/http.py). Pure.

The one question that matters after a message was sent: did the answer come from Graph? What did not come whole, is no
JSON, or is a success of another kind, was said by somebody in between, and tells nothing about the message.
"""

from typing import Final

from node.policy.reply import NOT_SENT, PRINTABLE_CHARS, Reply, printable

FRONT_END: Final = frozenset({401, 413, 429})
"""Refusals a front end words itself, often without JSON, before it looks at the message."""
_ANY_REQUEST: Final = frozenset({401, 429})
_PASSING: Final = frozenset({404, 408, 409})
"""Refusals of a step that concern this draft or this moment: with another draft it may go well."""
NO_MAILBOX: Final = frozenset({"errorinvaliduser", "mailboxnotenabledforrestapi", "errornonexistentmailbox"})
REFUSED: Final = "refused"
_ACCEPTED: Final = 202
_SUCCESS, _ERROR, _SERVER = 2, 4, 5
_WORDS: Final = {401: "Unauthorized", 413: "Request Entity Too Large", 429: "Too Many Requests"}


def answer_reply(
    status: int, code: str, message: str, *, readable: bool, request_id: str = "", due: int = _ACCEPTED
) -> Reply:
    """Give the reply to the request that hands the message over; ``due`` is the status of success.

    Code 0 stands for an answer that says nothing: the outcome is unknown (design §1 I5).
    """
    tail = f" request-id {request_id}" if request_id else ""
    if status == due:
        return Reply(code=status, text=f"Accepted{printable(tail)}") if readable else _strange(status, "was cut")
    kind = status // 100
    if kind == _SUCCESS:
        return _strange(status, f"where {due} was due")
    if kind == _ERROR and not readable and status not in FRONT_END:
        return _strange(status, "in words that are not Graph's")
    if kind not in (_ERROR, _SERVER):
        return _strange(status, f"where {due} was due")
    text = f"{code}: {message}" if code else _WORDS.get(status, "without an error code")
    return Reply(code=status, text=printable(text + tail, PRINTABLE_CHARS))


def before_reply(status: int, code: str, message: str, *, readable: bool, step: str) -> Reply:
    """Give the reply to a request before that one (a draft, an attachment): nothing can have been sent yet.

    Only what would stop any request is taken as said: a draft may be refused for want of a right sending does not need.
    """
    if status in _ANY_REQUEST or (status // 100 == _ERROR and code.lower() in NO_MAILBOX):
        return answer_reply(status, code, message, readable=readable)
    lasting = status // 100 == _ERROR and status not in _PASSING and (readable or status in FRONT_END)
    word = f"{NOT_SENT} {REFUSED}" if lasting else NOT_SENT
    return Reply(code=0, text=f"{word} {step}: {status} {printable(code)}".strip())


def _strange(status: int, why: str) -> Reply:
    return Reply(code=0, text=f"protocol {status} {why}")
