"""The words servers put into Diagnostic-Code, taken down to one reply.

Exchange Online writes ``smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; ...`` for its own refusals, wraps what a remote
server said as ``Remote Server returned '550 5.1.1 ...'``, and in older forms puts ``#`` around it (facts m365 §4.5,
§4.6: the codes that come by report only).
"""

import re
from typing import Final

from node.policy.reply import PRINTABLE_CHARS, Reply, printable, reply_from

_WRAPPED: Final = re.compile(r"remote\s+server\s+returned\s+'(.*?)(?:'|$)", re.IGNORECASE | re.DOTALL)
_REPLY: Final = re.compile(r"(?<![\d.])([245]\d\d)(?:[ -]|(?=#)|$)\s*#?\s*(.*)", re.DOTALL)
_ENHANCED: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
LOOKED_AT: Final = 2048


def diagnostic(value: str, status: str) -> Reply:
    """Read a Diagnostic-Code field; ``status`` stands in for an enhanced code it does not name.

    Without three digits that read as a reply the class of the status gives the code: 5.x.x is 550, 4.x.x is 450.
    """
    text = value[:LOOKED_AT].partition(";")[2].strip() if ";" in value[:40] else value[:LOOKED_AT].strip()
    wrapped = _WRAPPED.search(text)
    match = _REPLY.search(wrapped[1] if wrapped else text) or _REPLY.search(text)
    if match is None:
        return _by_status(text, status)
    found = reply_from(int(match[1]), match[2].strip(" #"))
    enhanced = found.enhanced or status
    return Reply(code=found.code, enhanced=enhanced, text=printable(found.text, PRINTABLE_CHARS))


def _by_status(text: str, status: str) -> Reply:
    code = {"5": 550, "4": 450}.get(status[:1], 0)
    found = _ENHANCED.search(text)
    return Reply(code=code, enhanced=status or (found[1] if found else ""), text=printable(text, PRINTABLE_CHARS))


def status_code(value: str) -> str:
    """Read a Status field, comment and all (RFC 3464 §2.3.4); empty if it holds no code."""
    found = _ENHANCED.search(value[:200])
    return found[1] if found else ""
