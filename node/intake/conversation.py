"""One session's dialogue: takes lines and data, gives replies. No sockets and no tasks: the protocol moves the octets.

A step answers with octets to send, with nothing, or with an awaitable that will give them; the protocol waits and
feeds nothing meanwhile. Commands live in commands.py, transaction.py and sasl.py and are listed in ``TABLE``.
"""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from node.intake import commands, sasl, transaction
from node.intake.door import Sight
from node.intake.house import Gate, House, reason_of
from node.intake.replies import Say, wire
from node.intake.sequence import Event, Mode, Phase, step
from node.intake.transfer import Storing
from node.policy.admission import Denial
from node.policy.clients import ClientRule
from node.policy.reply import Reply

if TYPE_CHECKING:
    from node.intake.transfer import Transfer

MAX_COMMAND_OCTETS: Final = 2048
"""RFC 5321 §4.5.3.1.4 says 512; DSN, SMTPUTF8 and SIZE parameters together need more (RFC 3461 §7.4)."""
MAX_AUTH_OCTETS: Final = 12_288
"""RFC 4954 §4."""
Answer = bytes | Awaitable[bytes] | Storing | None


class Command(NamedTuple):
    """A command line taken apart; what it means hangs on the session."""

    verb: bytes
    handler: "Handler"
    argument: str


KNOWN: Final[dict[bytes, Command]] = {}
"""Command lines as read before, CRLF included: clients say the same few all day. Only what the octets alone decide."""
KNOWN_LINES: Final = 4096
"""When full it is emptied: a stranger who varies everything costs only the look-up."""
KNOWN_OCTETS: Final = 512
REPEATED: Final = frozenset({b"HELO", b"EHLO", b"MAIL", b"RCPT", b"DATA", b"RSET", b"NOOP", b"QUIT"})
"""AUTH is not among them: its line holds a password."""


class Conversation:
    """The state of one session, from banner to QUIT."""

    __slots__ = (
        "_names",
        "_rule",
        "_rule_known",
        "_tables",
        "auth_tries",
        "barred",
        "commands",
        "errors",
        "extended",
        "gate",
        "helo",
        "house",
        "ip",
        "leftover",
        "messages",
        "mode",
        "phase",
        "port",
        "refused_reason",
        "sasl",
        "started_ns",
        "tls_version",
        "transfer",
        "user",
        "when_free",
    )

    def __init__(self, gate: Gate, ip: str, port: int, when_free: Callable[[], None]) -> None:
        """``when_free`` is called when a body file has caught up and reading may go on."""
        self.gate = gate
        self.house: House = gate.house
        self.ip = ip
        self.port = port
        self.started_ns = time.time_ns()
        self.mode = Mode.COMMAND
        self.phase = Phase.NEW
        self.helo = ""
        """Empty until greeted."""
        self.extended = False
        self.user = ""
        self.tls_version = ""
        self._names: tuple[str, ...] = ()
        self._rule: ClientRule | None = None
        self._rule_known = False
        self.errors = 0
        self.commands = 0
        self.messages = 0
        self.auth_tries = 0
        self.sasl: sasl.Exchange | None = None
        self.transfer: Transfer | None = None
        self.leftover = b""
        """What followed a final dot: the next commands, for the protocol to take back."""
        self.when_free = when_free
        self.refused_reason = ""
        self._tables = gate.barred(tls_on=False, authenticated=False)
        self.barred = self._tables[Phase.NEW]

    def line(self, line: bytes) -> Answer:
        """Answer one command line, CRLF included."""
        command = KNOWN.get(line)
        if command is not None:
            return self.known(command)
        if not line.endswith(b"\r\n"):
            if not self.gate.normalise:
                return self.close(Say.BARE_COMMAND)
            self.see(Sight.BARE_LF)
        self.commands += 1
        if self.commands > self.house.limits.commands_per_session:
            return self.close(Say.TOO_MANY_COMMANDS)
        return self.judged(self._command(line.rstrip(b"\r\n")))

    def known(self, command: Command) -> Answer:
        """Answer a command line that was read before."""
        self.commands += 1
        if self.commands > self.house.limits.commands_per_session:
            return self.close(Say.TOO_MANY_COMMANDS)
        verb, handler, argument = command
        answer = self.barred.get(verb) or handler(self, argument)
        if type(answer) is bytes and answer[:1] > b"3":
            return self.refused(answer)
        return answer

    def _command(self, line: bytes) -> Answer:
        verb, _, rest = line.partition(b" ")
        verb = verb.upper()
        if len(line) > MAX_COMMAND_OCTETS and (verb != b"AUTH" or len(line) > MAX_AUTH_OCTETS):
            return Say.LINE_TOO_LONG
        handler = TABLE.get(verb)
        if handler is None:
            return Say.UNKNOWN_COMMAND
        reply = self.barred.get(verb)
        if reply is not None:
            return reply
        try:
            argument = rest.decode()
        except UnicodeDecodeError:
            return Say.BAD_COMMAND
        if not argument.isprintable():
            return self.close(Say.BAD_COMMAND) if "\r" in argument else Say.BAD_COMMAND
        _remember(line, Command(verb, handler, argument))
        return handler(self, argument)

    def sasl_line(self, line: bytes) -> Answer:
        """Answer one line of an AUTH exchange."""
        return self.judged(sasl.respond(self, line.rstrip(b"\r\n")))

    def data(self, chunk: bytes) -> Answer:
        """Take octets of a message; the answer comes with the final dot."""
        return self.judged(transaction.data(self, chunk))

    def judged(self, answer: Answer) -> Answer:
        """Count a refusal; too many end the session."""
        if type(answer) is bytes and answer[:1] > b"3":
            return self.refused(answer)
        return answer

    def refused(self, reply: bytes) -> bytes:
        """Count one refusal; 5xx replies count towards the session's bound."""
        self.house.telemetry.count("relay_intake_refused", reason=self.refused_reason or reason_of(reply))
        self.refused_reason = ""
        if reply[:1] == b"5" and self.mode is not Mode.CLOSE:
            self.errors += 1
            if self.errors >= self.house.limits.errors_per_session:
                self.mode = Mode.CLOSE
                return reply + Say.TOO_MANY_ERRORS
        return reply

    def close(self, reply: bytes) -> bytes:
        """Make ``reply`` the last one."""
        self.mode = Mode.CLOSE
        self.give_up()
        return reply

    def deny(self, denial: Denial) -> bytes:
        """Put a refusal of the inbound policy on the wire."""
        self.refused_reason = denial.reason
        return wire(Reply(code=denial.code, enhanced=denial.enhanced, text=denial.text))

    def move(self, event: Event) -> None:
        """Go on to the next phase."""
        self.phase = phase = step(self.phase, event)
        self.barred = self._tables[phase]

    def _set_barred(self) -> None:
        """After sign-in or encryption; within one state of both only the phase decides."""
        authenticated = not self.gate.auth_required or self.authenticated
        self._tables = self.gate.barred(tls_on=bool(self.tls_version), authenticated=authenticated)
        self.barred = self._tables[self.phase]

    @property
    def authenticated(self) -> bool:
        """Signed in, or known by a client certificate that a rule names."""
        return bool(self.user) or (bool(self._names) and (rule := self.rule) is not None and bool(rule.certificate))

    @property
    def rule(self) -> ClientRule | None:
        """The client rule this session falls under; found once for each state of sign-in."""
        if not self._rule_known:
            self._rule_known = True
            self._rule = self.house.rules.clients.match(
                self.ip, self.user, self._names, auth_required=self.gate.auth_required
            )
        return self._rule

    @property
    def protocol(self) -> str:
        """The word after ``with`` in Received (RFC 3848)."""
        if not self.extended:
            return "SMTP"
        utf8 = self.transfer is not None and self.transfer.mail.smtputf8
        return f"{'UTF8SMTP' if utf8 else 'ESMTP'}{'S' if self.tls_version else ''}{'A' if self.user else ''}"

    def signed_in(self, user: str) -> None:
        """Remember who signed in."""
        self.user = user
        self._rule_known = False
        self._set_barred()
        if not self.tls_version:
            self.see(Sight.CLEAR_AUTH)

    def encrypted(self, version: str, names: tuple[str, ...], *, old: bool) -> None:
        """TLS is on: everything said before is forgotten (RFC 3207 §4.2)."""
        self.give_up()
        self.tls_version = version
        self._names = names
        self._rule_known = False
        self.helo = ""
        self.user = ""
        self.phase = Phase.NEW
        self.mode = Mode.COMMAND
        self._set_barred()
        if old:
            self.see(Sight.OLD_TLS)

    def see(self, what: Sight) -> None:
        """Tell the weak-client book."""
        rule = self.rule
        name = rule.name if rule is not None else f"({self.gate.name})"
        self.house.door.sighting(name, what, self.ip)
        if what in (Sight.OLD_TLS, Sight.CLEAR_AUTH, Sight.BARE_LF):
            self.house.telemetry.count("relay_intake_weak", client=name, weakness=what.value)

    def give_up(self) -> None:
        """End the transaction without a message: reservations and memory go back."""
        if self.transfer is not None:
            self.transfer.abandon()
            self.transfer = None


def _remember(line: bytes, command: Command) -> None:
    """Keep a line that was read without fault, as it comes from the wire."""
    if command.verb not in REPEATED or len(line) > KNOWN_OCTETS:
        return
    if len(KNOWN) >= KNOWN_LINES:
        KNOWN.clear()
    KNOWN[line + b"\r\n"] = command


Handler = Callable[[Conversation, str], Answer]
TABLE: Final[dict[bytes, Handler]] = {
    b"HELO": commands.helo,
    b"EHLO": commands.ehlo,
    b"MAIL": transaction.mail,
    b"RCPT": transaction.rcpt,
    b"DATA": transaction.start_data,
    b"RSET": commands.rset,
    b"NOOP": commands.noop,
    b"QUIT": commands.quit_,
    b"HELP": commands.help_,
    b"VRFY": commands.vrfy,
    b"EXPN": commands.expn,
    b"BDAT": commands.bdat,
    b"STARTTLS": commands.starttls,
    b"AUTH": sasl.auth,
}
