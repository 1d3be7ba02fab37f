"""A raw client of the simulator's services: says exactly what the test says, with a certificate if it has one."""

import asyncio
import base64
import contextlib
import ssl
import time
from pathlib import Path

from node.rehearsal.simulator.directory import AUDIENCE, CLIENT, TENANT

MESSAGE = "From: app@contoso.com\r\nTo: a@example.com\r\nMessage-ID: <m1@app>\r\nSubject: hi\r\n\r\nHello\r\n"


class Dialogue:
    """One conversation with one service."""

    def __init__(self, simulator, service: str = "submission", certificate: Path | None = None):
        self.simulator, self.service, self.certificate = simulator, service, certificate
        self.reader = self.writer = None

    async def __aenter__(self):
        self.banner = await self.open()
        return self

    async def __aexit__(self, *exc):
        await self.close()

    async def open(self):
        port = self.simulator.ports.get(self.service) or self.simulator.smtp_port
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        return await self.reply()

    async def reply(self):
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 10)).decode()
            if not line:
                return "closed"
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    async def say(self, line):
        self.writer.write(line.encode() + b"\r\n")
        return await self.reply()

    async def secure(self):
        assert (await self.say("EHLO relay.example")).startswith("250-")
        assert await self.say("STARTTLS") == "220 2.0.0 SMTP server ready"
        context = ssl.create_default_context(cafile=str(self.simulator.ca_file))
        if self.certificate is not None:
            context.load_cert_chain(self.certificate)
        await self.writer.start_tls(context, server_hostname="smtp.office365.com")
        return await self.say("EHLO relay.example")

    async def log_in(self, account="relay1@contoso.com", token=None):
        token = bearer(self.simulator) if token is None else token
        return await self.say(f"AUTH XOAUTH2 {blob(account, token)}")

    async def password(self, user, password):
        assert (await self.say(f"AUTH LOGIN {base64.b64encode(user.encode()).decode()}")).startswith("334")
        return await self.say(base64.b64encode(password.encode()).decode())

    async def send(self, sender="app@contoso.com", recipients=("a@example.com",), message=MESSAGE):
        """Go through a message; the first answer that is not positive, or the last."""
        for line in (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{one}>" for one in recipients)):
            answer = await self.say(line)
            if not answer.startswith("250"):
                return answer
        answer = await self.say("DATA")
        return await self.say(message + ".") if answer.startswith("354") else answer

    async def close(self):
        if self.writer is not None:
            self.writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await self.writer.wait_closed()


def blob(account, token):
    return base64.b64encode(f"user={account}\x01auth=Bearer {token}\x01\x01".encode()).decode()


def bearer(simulator, *, aud=AUDIENCE, life_s=3600, tid=TENANT, appid=CLIENT, roles=("SMTP.SendAsApp",)):
    claims = {
        "aud": aud,
        "tid": tid,
        "appid": appid,
        "roles": list(roles),
        "exp": int(time.time()) + life_s,
        "uti": "1",
    }
    return simulator.hub.signer.sign(claims)
