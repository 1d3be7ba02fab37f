"""What is said before the first mail: banner, EHLO, STARTTLS, login, in that order, on one connection.

The steps and what to demand of each are RFC 5321, 3207, 4954 and facts m365 §3.2. A refusal is raised with its
stage; what it means for accounts and paths is policy's business.
"""

import base64

from node.delivery.connection import Connection, extensions_of
from node.delivery.endpoint import AuthKind, TlsMode
from node.delivery.errors import Refused, WireBroken
from node.delivery.wire import Answer
from node.policy.reply import Reply, Stage, reply_from

_READY, _DONE, _LOGGED_IN, _CHALLENGE = 220, 250, 235, 334


class Handshake:
    """The opening of one conversation; ``stage`` says how far it came."""

    def __init__(self, connection: Connection) -> None:
        """Begin at the banner."""
        self._connection = connection
        self._wire = connection.wire
        self._endpoint = connection.endpoint
        self.stage = Stage.BANNER

    async def greet(self) -> None:
        """Read the banner, introduce ourselves, and make the line secret. Raises Refused, WireBroken."""
        endpoint = self._endpoint
        self._demand(_READY, await self._wire.answer(endpoint.timings.banner_s))
        await self._ehlo()
        if endpoint.tls is not TlsMode.STARTTLS:
            return
        self.stage = Stage.TLS
        if "STARTTLS" not in self._connection.extensions:
            raise Refused(Stage.TLS, Reply(code=0, text="starttls_missing"))
        context = endpoint.tls_context()
        if context is None:
            raise Refused(Stage.TLS, Reply(code=0, text="tls without a context"))
        refusal = await self._wire.secure(context, self._connection.host or endpoint.host, endpoint.timings.connect_s)
        if refusal is not None:
            raise Refused(Stage.TLS, reply_from(*refusal))
        await self._ehlo()

    async def _ehlo(self) -> None:
        """What was offered before TLS is forgotten: it could have been written by anybody (RFC 3207 §4.2)."""
        self.stage = Stage.EHLO
        answer = await self._ask(b"EHLO " + self._endpoint.helo.encode("ascii", "replace"))
        self._demand(_DONE, answer)
        self._connection.extensions = extensions_of(answer.text)

    async def log_in(self, secret: str) -> None:
        """Authenticate as the endpoint demands. Raises Refused, WireBroken."""
        self.stage = Stage.AUTH
        offered = self._connection.extensions.get("AUTH", "").upper().split()
        if self._endpoint.auth is AuthKind.XOAUTH2:
            self._offer("XOAUTH2", offered)
            await self._xoauth2(secret)
        elif "PLAIN" in offered:
            blob = b"\0".join((b"", self._endpoint.user.encode(), secret.encode()))
            self._demand(_LOGGED_IN, await self._ask(b"AUTH PLAIN " + base64.b64encode(blob)))
        else:
            self._offer("LOGIN", offered)
            self._demand(_CHALLENGE, await self._ask(b"AUTH LOGIN"))
            self._demand(_CHALLENGE, await self._ask(base64.b64encode(self._endpoint.user.encode())))
            self._demand(_LOGGED_IN, await self._ask(base64.b64encode(secret.encode())))

    async def _xoauth2(self, token: str) -> None:
        """Two steps, as Microsoft shows it: a token of 3 KB does not fit a command line (RFC 4954 §4)."""
        blob = f"user={self._endpoint.user}\x01auth=Bearer {token}\x01\x01".encode()
        self._demand(_CHALLENGE, await self._ask(b"AUTH XOAUTH2"))
        answer = await self._ask(base64.b64encode(blob))
        if answer.code == _CHALLENGE:
            # The error as base64 JSON; an empty line asks for the final refusal.
            answer = await self._ask(b"")
        self._demand(_LOGGED_IN, answer)

    def _offer(self, mechanism: str, offered: list[str]) -> None:
        if mechanism not in offered:
            text = f"{mechanism} not offered, only {' '.join(offered) or 'nothing'}"
            raise Refused(Stage.AUTH, Reply(code=504, enhanced="5.7.4", text=text))

    async def _ask(self, command: bytes) -> Answer:
        return await self._wire.ask(command, self._endpoint.timings.command_s)

    def _demand(self, code: int, answer: Answer) -> None:
        if answer.code != code:
            if answer.code < 400:  # noqa: PLR2004 - a positive answer that does not fit is no answer
                raise WireBroken("protocol", f"{answer.code} where {code} was due")
            raise Refused(self.stage, reply_from(*answer))
