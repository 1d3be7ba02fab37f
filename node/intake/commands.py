"""Commands that carry no mail: HELO, EHLO, RSET, NOOP, HELP, VRFY, EXPN, BDAT, STARTTLS, QUIT (RFC 5321 §4.1.1).

Each takes the session and its argument and gives the reply; order and readiness were checked before (sequence.py).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from node.intake.door import Sight
from node.intake.replies import Say, lines
from node.intake.sequence import Event, Mode

if TYPE_CHECKING:
    from node.intake.conversation import Conversation

MAX_HELO_CHARS: Final = 255
_HELO: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.?|\[[0-9A-Fa-f.:]+\]|\[IPv6:[0-9A-Fa-f.:]+\]")
_LENIENT_HELO: Final = re.compile(r"[!-;=?-~]+")
"""Old devices announce ``SCANNER_1`` or worse (operations M1); brackets and spaces stay refused everywhere."""
_HELP: Final = lines(214, ["2.0.0 HELO EHLO STARTTLS AUTH MAIL RCPT DATA RSET NOOP VRFY HELP QUIT", "2.0.0 RFC 5321"])


def helo(session: Conversation, argument: str) -> bytes:
    """Greet without extensions."""
    if not _take_name(session, argument):
        return Say.BAD_HELO
    session.extended = False
    return f"250 {session.house.rules.hostname}\r\n".encode("ascii", "replace")


def ehlo(session: Conversation, argument: str) -> bytes:
    """Greet with the extensions that work in this state."""
    if not _take_name(session, argument):
        return Say.BAD_HELO
    session.extended = True
    return session.gate.ehlo(tls_on=bool(session.tls_version), authenticated=session.authenticated, rule=session.rule)


def _take_name(session: Conversation, argument: str) -> bool:
    name = argument.strip()
    if not name or len(name) > MAX_HELO_CHARS:
        return False
    if not _HELO.fullmatch(name):
        if not session.gate.legacy or not _LENIENT_HELO.fullmatch(name):
            return False
        session.see(Sight.LENIENT)
    session.helo = name
    session.give_up()
    session.move(Event.GREETED)
    return True


def rset(session: Conversation, argument: str) -> bytes:
    """Forget the transaction."""
    if argument:
        return Say.NO_ARGUMENT
    session.give_up()
    session.move(Event.ENDED)
    return Say.OK


def noop(_session: Conversation, _argument: str) -> bytes:
    """Do nothing; an argument is allowed (RFC 5321 §4.1.1.9)."""
    return Say.OK


def help_(_session: Conversation, _argument: str) -> bytes:
    """Name the commands."""
    return _HELP


def vrfy(_session: Conversation, argument: str) -> bytes:
    """Neither confirm nor deny (RFC 5321 §7.3)."""
    return Say.VRFY if argument else Say.BAD_VRFY


def expn(_session: Conversation, _argument: str) -> bytes:
    """Lists are nobody's business."""
    return Say.NO_EXPN


def bdat(_session: Conversation, _argument: str) -> bytes:
    """CHUNKING is not offered (design §5.1)."""
    return Say.NO_BDAT


def quit_(session: Conversation, argument: str) -> bytes:
    """Say goodbye."""
    if argument:
        return Say.NO_ARGUMENT
    return session.close(Say.BYE)


def starttls(session: Conversation, argument: str) -> bytes:
    """Agree to a handshake; the protocol drops whatever was sent ahead of it."""
    if argument:
        return Say.NO_ARGUMENT
    if session.tls_version:
        return Say.ALREADY_TLS
    if not session.gate.starttls:
        return Say.NO_STARTTLS
    session.mode = Mode.TLS
    return Say.READY_FOR_TLS
