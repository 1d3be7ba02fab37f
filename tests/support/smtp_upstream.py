"""An SMTP server on a real socket that does what a script says, command by command; for tests of the back door.

Raw on purpose: no server library would cut a reply in half. It keeps every mail it took, by recipient.
"""

import asyncio
import base64
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

CUT = b"<cut>"
"""Instead of a reply: close the connection at once."""
HANG = b"<hang>"
"""Instead of a reply: say nothing any more."""
GATE = b"<gate>"
"""Instead of a reply: the usual one, once the script's gate is open."""


@dataclass
class Mail:
    mail_from: str
    recipients: list[str]
    data: bytes
    parameters: str = ""
    user: str = ""


@dataclass
class Script:
    """Replies by step, each a list consumed connection-wide; ``None`` or an empty list: the usual reply.

    Steps: ``banner ehlo starttls ehlo-tls auth auth-blob mail rcpt data dot rset``. A reply is written raw; it may
    end in ``CUT`` to be sent and followed by a cut. ``take`` decides whether a mail whose dot got a scripted reply
    counts as taken.
    """

    steps: dict[str, list[bytes | None]] = field(default_factory=dict)
    take: bool = True
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def next(self, step: str) -> bytes | None:
        waiting = self.steps.get(step)
        return waiting.pop(0) if waiting else None


@dataclass
class Upstream:
    script: Script = field(default_factory=Script)
    extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SIZE 37748736", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
    auth: str = ""
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    token: Callable[[str], bool] | None = None
    """Says whether the secret of a login is right; 'user secret'."""
    mails: list[Mail] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    keep: bool = True
    connections: int = 0
    open_now: int = 0
    most_open: int = 0
    taken: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self):
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, limit=1 << 20, ssl=self.tls if self.implicit else None
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def received(self, address: str) -> int:
        return sum(address in mail.recipients for mail in self.mails)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        self._writers.add(writer)
        self.connections += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            await Session(self, reader, writer).run()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError, _Cut):
            pass
        finally:
            self.open_now -= 1
            self._writers.discard(writer)
            self._tasks.discard(asyncio.current_task())
            writer.transport.abort()


_POSITIVE = re.compile(rb"(2\d\d-[^\n]*\r\n)*2\d\d [^\n]*\r\n")


class _Cut(Exception):  # noqa: N818 - not an error
    pass


class Session:
    def __init__(self, upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.up = upstream
        self.reader = reader
        self.writer = writer
        self.secure = upstream.implicit
        self.user = ""
        self.mail: Mail | None = None

    async def say(self, step: str, usual: bytes) -> bytes:
        """Give the scripted or the usual reply; returns what was said."""
        scripted = self.up.script.next(step)
        reply = usual if scripted is None else scripted
        if reply == HANG:
            await asyncio.Event().wait()
        if reply == GATE:
            await self.up.script.gate.wait()
            reply = usual
        text = reply.removesuffix(CUT)
        if text:
            self.writer.write(text)
        if reply.endswith(CUT):
            await self.writer.drain()
            self.writer.close()
            raise _Cut
        return reply

    async def run(self) -> None:
        await self.say("banner", b"220 upstream.test ESMTP\r\n")
        while line := await self.reader.readline():
            text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            verb = text.split(" ", 1)[0].upper()
            self.up.commands.append(text if verb != "AUTH" else "AUTH")
            handler = getattr(self, f"do_{verb.lower()}", None)
            if handler is None:
                self.writer.write(b"500 5.5.2 what\r\n")
            elif await handler(text):
                return

    async def do_ehlo(self, text: str):
        lines = ["upstream.test", *self.up.extensions]
        if self.up.tls is not None and not self.secure:
            lines.append("STARTTLS")
        if self.up.auth and (self.secure or self.up.tls is None):
            lines.append(f"AUTH {self.up.auth}")
        usual = "".join(f"250{'-' if n < len(lines) - 1 else ' '}{line}\r\n" for n, line in enumerate(lines))
        await self.say("ehlo-tls" if self.secure and not self.up.implicit else "ehlo", usual.encode())

    async def do_starttls(self, text: str):
        reply = await self.say("starttls", b"220 2.0.0 go\r\n")
        if reply.startswith(b"220"):
            await self.writer.drain()
            await self.writer.start_tls(self.up.tls)
            self.secure = True

    async def do_auth(self, text: str):
        _, mechanism, *initial = text.split()
        secret = ""
        if mechanism == "PLAIN":
            _, self.user, secret = base64.b64decode(initial[0]).decode().split("\0")
        else:
            if not (await self.say("auth", b"334 \r\n")).startswith(b"334"):
                return
            first = base64.b64decode(await self.reader.readline()).decode()
            if mechanism == "LOGIN":
                self.user = first
                self.writer.write(b"334 UGFzc3dvcmQ6\r\n")
                secret = base64.b64decode(await self.reader.readline()).decode()
            else:
                self.user = first.split("\x01")[0].removeprefix("user=")
                secret = first.split("\x01")[1].removeprefix("auth=Bearer ")
        good = self.up.token is None or self.up.token(f"{self.user} {secret}")
        usual = b"235 2.7.0 Authentication successful\r\n" if good else b"535 5.7.3 Authentication unsuccessful\r\n"
        reply = await self.say("auth-blob", usual)
        if reply.startswith(b"334"):
            assert await self.reader.readline() == b"\r\n"
            self.writer.write(b"535 5.7.3 Authentication unsuccessful\r\n")

    async def do_mail(self, text: str):
        if self.mail is not None:
            self.writer.write(b"503 5.5.1 nested MAIL\r\n")
            return
        address, _, parameters = text[10:].partition(">")
        reply = await self.say("mail", b"250 2.1.0 ok\r\n")
        if reply.startswith(b"2"):
            self.mail = Mail(address.removeprefix("<"), [], b"", parameters.strip(), self.user)

    async def do_rcpt(self, text: str):
        if self.mail is None:
            self.writer.write(b"503 5.5.1 MAIL first\r\n")
            return
        reply = await self.say("rcpt", b"250 2.1.5 ok\r\n")
        if reply.startswith(b"2"):
            self.mail.recipients.append(text[8:].partition(">")[0].removeprefix("<"))

    async def do_data(self, text: str):
        if self.mail is None or not self.mail.recipients:
            self.writer.write(b"554 5.5.1 no valid recipients\r\n")
            return
        reply = await self.say("data", b"354 go on\r\n")
        if not reply.startswith(b"354"):
            return
        chunks: list[bytes] = []
        while (line := await self.reader.readuntil(b"\n")) != b".\r\n":
            if self.up.script.steps.get("body") and self.up.script.next("body") == CUT:
                raise _Cut
            chunks.append(line.removeprefix(b"."))
        mail, self.mail = self.mail, None
        mail.data = b"".join(chunks)
        waiting = self.up.script.steps.get("dot")
        scripted = waiting[0] if waiting else None
        whole = scripted is None or _POSITIVE.fullmatch(scripted) is not None
        if whole or (scripted[:1] not in (b"4", b"5") and self.up.script.take):
            self.up.taken += 1
            if self.up.keep:
                self.up.mails.append(mail)
        await self.say("dot", b"250 2.0.0 OK <id-%d@upstream.test> [Hostname=X]\r\n" % self.up.taken)

    async def do_rset(self, text: str):
        self.mail = None
        await self.say("rset", b"250 2.0.0 ok\r\n")

    async def do_quit(self, text: str):
        self.writer.write(b"221 2.0.0 bye\r\n")
        return True
