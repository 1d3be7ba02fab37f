"""Every reply the front door can give, in one table: code, enhanced code (RFC 3463), bland text.

Pure. Knows nothing of why a reply was chosen; the true cause goes to counters and spans. Replies made by the
inbound policy (``Denial``) are put on the wire by the same function, so that no text can break the protocol.
"""

import re
from typing import Final

from node.policy.reply import Reply

MAX_TEXT_CHARS: Final = 400
"""RFC 5321 §4.5.3.1.5 allows 512 octets a reply line, code and CRLF included."""
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def wire(reply: Reply) -> bytes:
    """One reply as octets with CRLF; anything unprintable becomes ``?`` so that no text can forge a second line."""
    text = _UNPRINTABLE.sub("?", reply.text)[:MAX_TEXT_CHARS]
    enhanced = f"{reply.enhanced} " if reply.enhanced else ""
    return f"{reply.code} {enhanced}{text}\r\n".encode("ascii")


def lines(code: int, texts: list[str]) -> bytes:
    """A reply of several lines without enhanced codes (EHLO, HELP), RFC 5321 §4.2.1."""
    last = len(texts) - 1
    return "".join(f"{code}{' ' if n == last else '-'}{text}\r\n" for n, text in enumerate(texts)).encode("ascii")


class Say:
    """The wire form of every fixed reply, by name; the test walks this class and checks each one's form."""

    OK: Final = b"250 2.0.0 Ok\r\n"
    SENDER_OK: Final = b"250 2.1.0 Sender ok\r\n"
    RECIPIENT_OK: Final = b"250 2.1.5 Recipient ok\r\n"
    BYE: Final = b"221 2.0.0 Bye\r\n"
    VRFY: Final = b"252 2.1.5 Cannot verify, send some mail\r\n"
    GO_AHEAD: Final = b"354 End data with <CR><LF>.<CR><LF>\r\n"
    READY_FOR_TLS: Final = b"220 2.0.0 Ready to start TLS\r\n"
    AUTHENTICATED: Final = b"235 2.7.0 Authentication succeeded\r\n"
    ASK: Final = b"334 \r\n"
    ASK_USER: Final = b"334 VXNlcm5hbWU6\r\n"
    ASK_PASSWORD: Final = b"334 UGFzc3dvcmQ6\r\n"

    SHUTTING_DOWN: Final = b"421 4.3.2 Service is shutting down, try another server\r\n"
    IDLE: Final = b"421 4.4.2 Idle too long, closing\r\n"
    SESSION_TOO_LONG: Final = b"421 4.4.2 Session too long, closing\r\n"
    TOO_SLOW: Final = b"421 4.4.2 Data too slow, closing\r\n"
    TOO_MANY_ERRORS: Final = b"421 4.7.0 Too many errors, closing\r\n"
    TOO_MANY_COMMANDS: Final = b"421 4.7.0 Too many commands, closing\r\n"
    TOO_MANY_MESSAGES: Final = b"421 4.7.0 Too many messages in one session, connect again\r\n"
    TOO_MANY_SESSIONS: Final = b"421 4.3.2 Too many sessions, try later\r\n"
    TOO_MANY_FROM_ADDRESS: Final = b"421 4.7.0 Too many sessions from your address\r\n"
    CORE_AWAY: Final = b"421 4.3.0 Mail system not ready, try later\r\n"
    TRY_LATER: Final = b"451 4.3.0 Mail not accepted now, try later\r\n"
    NOT_STORED: Final = b"451 4.3.0 Message could not be stored, try later\r\n"
    NO_MEMORY: Final = b"452 4.3.1 Too much mail in transfer, try later\r\n"
    AUTH_TRY_LATER: Final = b"454 4.7.0 Temporary authentication failure\r\n"
    NO_TLS_NOW: Final = b"454 4.7.0 TLS not available\r\n"

    LINE_TOO_LONG: Final = b"500 5.5.2 Command line too long\r\n"
    UNKNOWN_COMMAND: Final = b"500 5.5.1 Command not recognised\r\n"
    BARE_COMMAND: Final = b"500 5.5.2 Lines must end with CRLF, closing\r\n"
    BAD_COMMAND: Final = b"500 5.5.2 Command contains a forbidden character\r\n"
    AUTH_LINE_TOO_LONG: Final = b"500 5.5.6 Authentication line too long\r\n"
    NO_ARGUMENT: Final = b"501 5.5.4 No argument allowed\r\n"
    BAD_HELO: Final = b"501 5.5.4 Syntax: EHLO hostname\r\n"
    BAD_MAIL: Final = b"501 5.5.4 Syntax: MAIL FROM:<address> [parameters]\r\n"
    BAD_RCPT: Final = b"501 5.5.4 Syntax: RCPT TO:<address> [parameters]\r\n"
    BAD_SENDER: Final = b"501 5.1.7 Sender address is not valid\r\n"
    BAD_RECIPIENT: Final = b"501 5.1.3 Recipient address is not valid\r\n"
    BAD_PARAMETER: Final = b"501 5.5.4 Parameter value is not valid\r\n"
    REPEATED_PARAMETER: Final = b"501 5.5.4 Parameter given twice\r\n"
    PARAMETERS_NEED_EHLO: Final = b"501 5.5.4 Parameters need EHLO\r\n"
    BAD_VRFY: Final = b"501 5.5.4 Syntax: VRFY address\r\n"
    BAD_BASE64: Final = b"501 5.5.2 Cannot decode base64\r\n"
    BAD_AUTH: Final = b"501 5.5.4 Syntax: AUTH mechanism [initial-response]\r\n"
    CANCELLED: Final = b"501 5.7.0 Authentication cancelled\r\n"
    NO_EXPN: Final = b"502 5.5.1 EXPN not available\r\n"
    NO_BDAT: Final = b"502 5.5.1 BDAT not offered, use DATA\r\n"
    NO_STARTTLS: Final = b"502 5.5.1 STARTTLS not offered\r\n"
    NO_AUTH: Final = b"502 5.5.1 AUTH not offered\r\n"
    HELO_FIRST: Final = b"503 5.5.1 Send EHLO first\r\n"
    MAIL_FIRST: Final = b"503 5.5.1 Send MAIL first\r\n"
    RCPT_FIRST: Final = b"503 5.5.1 No valid recipients\r\n"
    NESTED_MAIL: Final = b"503 5.5.1 Nested MAIL command\r\n"
    AUTH_IN_MAIL: Final = b"503 5.5.1 AUTH not allowed during a transaction\r\n"
    ALREADY_AUTHENTICATED: Final = b"503 5.5.1 Already authenticated\r\n"
    ALREADY_TLS: Final = b"503 5.5.1 TLS already active\r\n"
    TLS_IN_MAIL: Final = b"503 5.5.1 STARTTLS not allowed during a transaction\r\n"
    BAD_MECHANISM: Final = b"504 5.5.4 Mechanism not offered\r\n"
    TLS_FIRST: Final = b"530 5.7.0 Must issue a STARTTLS command first\r\n"
    AUTH_FIRST: Final = b"530 5.7.0 Authentication required\r\n"
    AUTH_NEEDS_TLS: Final = b"538 5.7.11 Encryption required for authentication\r\n"
    AUTH_FAILED: Final = b"535 5.7.8 Authentication credentials invalid\r\n"
    TOO_MANY_AUTHS: Final = b"421 4.7.0 Too many authentication attempts, closing\r\n"
    TOO_LARGE: Final = b"552 5.3.4 Message larger than allowed\r\n"
    HEADER_TOO_LARGE: Final = b"552 5.3.4 Message header larger than allowed\r\n"
    TOO_MANY_RECIPIENTS: Final = b"452 4.5.3 Too many recipients\r\n"
    BARE_LF: Final = b"554 5.6.0 Bare line feed in message, closing\r\n"
    BARE_CR: Final = b"554 5.6.0 Bare carriage return in message, closing\r\n"
    NUL: Final = b"554 5.6.0 NUL octet in message\r\n"
    BODY_LINE_TOO_LONG: Final = b"554 5.6.0 Body line longer than 65536 octets\r\n"
    CLOSED_TO_YOU: Final = b"554 5.7.1 No service for your address here\r\n"
    UNKNOWN_MAIL_PARAMETER: Final = b"555 5.5.4 MAIL parameter not recognised\r\n"
    UNKNOWN_RCPT_PARAMETER: Final = b"555 5.5.4 RCPT parameter not recognised\r\n"
    UTF8_NEEDED: Final = b"553 5.6.7 Address needs SMTPUTF8\r\n"
