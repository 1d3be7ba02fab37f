"""One conversation with the simulated front end: greeting, EHLO, STARTTLS, time limits, scripted faults.

Login lies in ``login.py``, the mail transaction in ``transaction.py``. Behaviour: facts m365 §6.
"""

import datetime as dt
import ssl
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from node.rehearsal.errors import ConversationOverError, LineTooLongError, WaitedTooLongError
from node.rehearsal.simulator import texts
from node.rehearsal.simulator.hub import Hub
from node.rehearsal.simulator.meters import AccountMeter
from node.rehearsal.simulator.script import Facts, Moment, Step
from node.rehearsal.wire import Wire

if TYPE_CHECKING:
    from node.rehearsal.simulator.envelope import Transaction
    from node.rehearsal.simulator.services.service import Service

COMMAND_BYTES = 12_288  # RFC 4954 §4: the AUTH command and its continuations may be this long
MAX_ERRORS = 20  # nonsense commands before the service hangs up
GARBAGE = b"\x00\xff\x1b\x07 not a reply \x80\x81\r\n"


class Session:
    """State of one connection; ``run`` is its whole life."""

    def __init__(
        self, wire: Wire, hub: Hub, tls: ssl.SSLContext | None, commands: "dict[bytes, Command]", service: "Service"
    ) -> None:
        """Converse on ``wire`` as ``service``; ``tls`` is offered by STARTTLS when given."""
        self.wire = wire
        self.hub = hub
        self.service = service
        self.tls = tls
        self.commands = commands
        self.number = hub.connections["total"] = hub.connections["total"] + 1
        self.greeted = False
        self.helo = ""
        """What the client calls itself."""
        self.account = ""
        self.transaction: Transaction | None = None
        self._errors = 0
        self._ends_s = hub.now_s() + hub.directory.timing.real_s(hub.directory.timing.session)

    async def run(self) -> None:
        """Converse until either side ends it; never raises what a peer can cause."""
        self.wire.when_lost(self._left)
        self.service.connected(self)
        self.hub.connections["open"] += 1
        self.hub.connections["peak"] = max(self.hub.connections["peak"], self.hub.connections["open"])
        try:
            await self._converse()
        except ConversationOverError:
            self.wire.abort()
        finally:
            self.reset_transaction()
            self._left()
            self.service.gone(self)
            self.hub.connections["open"] -= 1
            await self.wire.close()

    # -- speaking -------------------------------------------------------------------------------------------------

    def say(self, text: str, **fields: str) -> None:
        """Queue a reply; ``{tag}`` and ``{host}`` are filled in here."""
        self.say_raw(self.filled(text, **fields) if "{" in text else text)

    def say_raw(self, text: str) -> None:
        """Queue a reply as it is, counted by its codes."""
        self.hub.replies[_codes(text)] += 1
        self.wire.send(_wired(text))

    def filled(self, text: str, **fields: str) -> str:
        """Give a sentence of ``texts.py`` with its blanks filled in."""
        host = self.hub.directory.host
        if "{tag}" in text:
            now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            fields["tag"] = f"[{host}.PROD.OUTLOOK.COM {now} {self.hub.reply_id()}]"
        return text.format(host=host, **fields)

    async def hang_up(self, text: str, **fields: str) -> None:
        """Say why and end the conversation."""
        self.say(text, **fields)
        await self.wire.close()
        raise ConversationOverError

    def mistake(self, text: str) -> None:
        """Answer a command that was wrong."""
        self._errors += 1
        self.say(text)

    # -- faults -----------------------------------------------------------------------------------------------------

    async def fault(self, moment: Moment, facts: Facts) -> Step | None:
        """Do what the script wants here and give the step that acted; raises when the conversation ends by it.

        At the dot only the delay is done: the caller settles the message and then calls ``perform``.
        """
        if not self.hub.script.expects(moment):
            return None
        step = self.hub.script.next(moment, facts)
        if step is None:
            return None
        if step.delay:
            await self.wire.rest(self.hub.directory.timing.real_s(step.delay))
        if moment is not Moment.DOT:  # there the message must be settled first
            await self.perform(step)
        return step

    async def perform(self, step: Step) -> None:
        """Cut, talk rubbish or say the step's reply."""
        if step.cut:
            self.hub.counts["cut"] += 1
            self.wire.abort()
            raise ConversationOverError
        if step.garbage:
            self.wire.send(GARBAGE)
        elif step.reply is not None:
            self.say_raw(step.reply)
        if step.close or (step.reply or "").startswith("421"):
            await self.wire.close()
            raise ConversationOverError

    async def answer(self, moment: Moment, facts: Facts, normal: str) -> bool:
        """Give the normal, positive reply unless the script says another; True when the answer was positive."""
        step = await self.fault(moment, facts)
        if step is None or not step.speaks:
            self.say(normal)
            return True
        return step.positive

    # -- reading ------------------------------------------------------------------------------------------------------

    async def line(self) -> bytes:
        """Give the next line within the idle and session limits; says why before it hangs up."""
        try:
            return await self.wire.line(COMMAND_BYTES, self.patience_s())
        except WaitedTooLongError:
            await self.too_slow()
            raise ConversationOverError from None

    def patience_s(self) -> float:
        """Seconds until the idle or the session limit, whichever comes first."""
        timing = self.hub.directory.timing
        return max(0.0, min(timing.real_s(timing.idle), self._ends_s - self.hub.now_s()))

    async def too_slow(self) -> None:
        """Hang up for whichever limit was reached (facts m365 §6)."""
        if self.hub.now_s() >= self._ends_s:
            self.hub.connections["session_limit"] += 1
            duration = str(dt.timedelta(seconds=self.hub.directory.timing.session))
            await self.hang_up(texts.SESSION_OVER, duration=duration)
        self.hub.connections["idle_limit"] += 1
        await self.hang_up(texts.IDLE)

    # -- life -------------------------------------------------------------------------------------------------------

    async def _converse(self) -> None:
        await self._greet()
        while True:
            if self.hub.now_s() >= self._ends_s:
                await self.too_slow()
            try:
                line = await self.line()
            except LineTooLongError:
                self.mistake(texts.LINE_TOO_LONG)
                continue
            verb, _, argument = line.partition(b" ")
            command = self.commands.get(verb.upper().rstrip())
            if command is None:
                self.mistake(texts.UNKNOWN_COMMAND)
            else:
                await command(self, argument.strip())
            if self._errors > MAX_ERRORS:
                await self.hang_up(texts.TOO_MANY_ERRORS)

    async def _greet(self) -> None:
        facts = Facts(key=self.source, service=self.service.name)
        await self.fault(Moment.CONNECT, facts)
        if self.hub.connections["open"] > self.hub.directory.limits.connections:
            self.hub.connections["refused"] += 1
            await self.hang_up(texts.BUSY)
        date = dt.datetime.now(dt.UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
        banner = texts.GREETING.format(name=self.hub_name, date=date)
        if not await self.answer(Moment.BANNER, facts, banner):
            await self.wire.close()
            raise ConversationOverError

    @property
    def certificate_names(self) -> tuple[str, ...]:
        """Names of the client certificate, unless its authority is one that matches nothing."""
        found = self.wire.certificate
        if found is None or found.issuer in self.hub.untrusted:
            return ()
        return found.names

    @property
    def source(self) -> str:
        """The client's address."""
        return self.wire.peer.rpartition(":")[0]

    @property
    def meter(self) -> AccountMeter | None:
        """The meter of who is logged in, where the service has one."""
        return self.service.meter(self)

    @property
    def hub_name(self) -> str:
        """The name in banner and EHLO."""
        return self.service.banner.format(host=self.hub.directory.host)

    def log_in(self, account: str) -> None:
        """Note who this session belongs to from now on."""
        self.account = account
        if (meter := self.meter) is not None:
            meter.enter(self.number)
            scope = self.service.scope(self)
            self.hub.chronicle.login(self.hub.directory, scope, self.number, self.wire.peer)

    def reset_transaction(self) -> None:
        """End what is in progress without an answer."""
        transaction, self.transaction = self.transaction, None
        if transaction is not None:
            transaction.abandon(self.hub.now_s())
            self.hub.chronicle.cancelled(transaction.operation, counted=transaction.sent_data)

    def leave(self) -> None:
        """Give the session's place back before the goodbye is said: the peer may reconnect at once."""
        self._left()

    def _left(self) -> None:
        if (meter := self.meter) is not None:
            meter.leave(self.number)
            self.hub.chronicle.gone(self.service.scope(self), self.number)


Command = Callable[[Session, bytes], Awaitable[None]]


@lru_cache(maxsize=256)
def _codes(text: str) -> str:
    code, _, rest = text[:3], text[3:4], text[4:]
    enhanced = rest.partition(" ")[0]
    return f"{code} {enhanced}" if enhanced.count(".") == 2 and enhanced[:1] in "245" else code  # noqa: PLR2004


@lru_cache(maxsize=256)
def _wired(text: str) -> bytes:
    return ("\r\n".join(text.splitlines()) + "\r\n").encode("utf-8", "replace")
