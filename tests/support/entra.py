"""A real HTTPS token endpoint and a CONNECT proxy for tests: checks secrets and signed assertions, fails on demand."""

import asyncio
import base64
import datetime as dt
import hashlib
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from aiohttp import web
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

TENANT = "8f2c1a0e-0000-4000-8000-000000000000"
CLIENT = "1b7d2c3e-0000-4000-8000-000000000000"
SCOPE = "https://outlook.office365.com/.default"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def entra_error(number: int, error: str = "invalid_client", status: int = 401, echo: str = "") -> web.Response:
    text = f"AADSTS{number}: Something is wrong {echo}. Trace ID: 0 Correlation ID: 0 Timestamp: 2026-11-23"
    body = {"error": error, "error_description": text, "error_codes": [number]}
    return web.json_response(body, status=status)


@dataclass
class FakeEntra:
    """Answers ``script`` first, then tokens. ``hold`` makes requests wait; ``seen`` keeps their forms."""

    secrets: set[str] = field(default_factory=set)
    certificates: list[x509.Certificate] = field(default_factory=list)
    expires_in: int = 4500
    script: deque = field(default_factory=deque)
    seen: list[dict[str, str]] = field(default_factory=list)
    peers: list[tuple[str, int]] = field(default_factory=list)
    hold: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.seen.append(form)
        self.peers.append(request.transport.get_extra_info("peername")[:2])
        self.arrived.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.script:
            step = self.script.popleft()
            made = step(request) if callable(step) else step
            return await made if asyncio.iscoroutine(made) else made
        fault = self._fault(request, form)
        if fault is not None:
            return fault
        token = f"token-{len(self.seen)}"
        return web.json_response({"token_type": "Bearer", "expires_in": self.expires_in, "access_token": token})

    def _fault(self, request: web.Request, form: dict[str, str]) -> web.Response | None:
        if request.match_info["tenant"] != TENANT:
            return entra_error(90002, "invalid_request", 400)
        if form.get("client_id") != CLIENT:
            return entra_error(700016, "unauthorized_client", 400)
        if form.get("grant_type") != "client_credentials" or form.get("scope") != SCOPE:
            return entra_error(70011, "invalid_scope", 400)
        if "client_assertion" in form:
            return self._assertion_fault(form)
        if form.get("client_secret") not in self.secrets:
            return entra_error(7000215, echo=form.get("client_secret", ""))
        return None

    def _assertion_fault(self, form: dict[str, str]) -> web.Response | None:
        assert form["client_assertion_type"] == JWT_BEARER
        head, payload, signature = form["client_assertion"].split(".")
        header, claims = json.loads(unbase64(head)), json.loads(unbase64(payload))
        assert header["alg"] == "PS256"
        for certificate in self.certificates:
            der = certificate.public_bytes(serialization.Encoding.DER)
            if unbase64(header["x5t#S256"]) == hashlib.sha256(der).digest():
                return self._signature_fault(certificate, f"{head}.{payload}", unbase64(signature), claims)
        return entra_error(700027)

    def _signature_fault(self, certificate, signed: str, signature: bytes, claims: dict) -> web.Response | None:
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
        try:
            certificate.public_key().verify(signature, signed.encode(), pss, hashes.SHA256())
        except InvalidSignature:
            return entra_error(700027)
        now = dt.datetime.now(dt.UTC).timestamp()
        assert claims["iss"] == claims["sub"] == CLIENT
        assert claims["aud"] == f"{self.url}/{TENANT}/oauth2/v2.0/token"
        assert claims["nbf"] - 5 <= now <= claims["exp"]
        return None


def unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@asynccontextmanager
async def serving_entra(entra: FakeEntra, authority: trustme.CA, name: str = "localhost") -> AsyncIterator[FakeEntra]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(tls)
    app = web.Application()
    app.router.add_post("/{tenant}/oauth2/v2.0/token", entra.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    entra.url = f"https://localhost:{runner.addresses[0][1]}"
    try:
        yield entra
    finally:
        await runner.cleanup()


@dataclass
class ConnectProxy:
    """Tunnels CONNECT and nothing else; asks for ``credentials`` (``user:password``) if given."""

    credentials: str = ""
    targets: list[str] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split(" ", 2)
            wanted = "Basic " + base64.b64encode(self.credentials.encode()).decode()
            if method != "CONNECT" or (self.credentials and wanted not in head):
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
            self.targets.append(target)
            host, _, port = target.rpartition(":")
            there = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def serving_proxy(proxy: ConnectProxy) -> AsyncIterator[ConnectProxy]:
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy.url = f"http://{proxy.credentials}{'@' if proxy.credentials else ''}127.0.0.1:{port}"
    async with server:
        yield proxy


def app_certificate(path: Path, password: bytes | None = None) -> x509.Certificate:
    """Write a self-signed certificate with its RSA key, as one uploads to Entra; give the certificate."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "m365-relay")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    kept = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kept)
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return certificate
