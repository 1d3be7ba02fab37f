"""A small strict OpenID provider over TLS with keys of its own: right by default, wrong on demand.

Everybody who comes to it is signed in as ``claims`` say. It takes what RFC 6749, RFC 7636 and OpenID Connect Core want
of a client, and refuses everything else, so that a client that leaves something out is found.
"""

import base64
import functools
import hashlib
import hmac
import json
import secrets
import ssl
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import jwt
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT = "m365-relay"


def _new_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@functools.cache
def _first_key() -> rsa.RSAPrivateKey:
    """The key an issuer begins with: made once, since making it takes longer than most tests."""
    return _new_key()


class WrongError(Exception):
    """The client did something it must not."""


class Issuer:
    """What it knows and how it misbehaves; attributes may be changed while it runs."""

    def __init__(self, ca: trustme.CA, redirects: list[str]):
        self.redirects = redirects
        self.secret = ""
        self.methods = ["client_secret_basic", "client_secret_post"]
        self.claims: dict = {"sub": "u1", "preferred_username": "anna@contoso.com", "groups": ["relay-ops"]}
        self.change: dict = {}
        """Laid over the claims of an ID token; None takes one out."""
        self.header: dict = {}
        self.forge = ""
        """``none``, ``hmac`` (keyed with the public key), ``signature`` (of another key), ``garbage``."""
        self.answer: dict = {}
        """Laid over what the browser brings back; None takes it out."""
        self.metadata: dict = {}
        self.status = 200
        """Of every answer but the browser's."""
        self.body: bytes | None = None
        self.asked: Counter = Counter()
        self.authorized: list[dict] = []
        self._codes: dict[str, dict] = {}
        self.key, self.kid = _first_key(), secrets.token_hex(8)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("localhost").configure_cert(self.tls)
        self.url = ""

    def rotate(self, bits: int = 2048) -> None:
        """Sign with a new key from now on, and publish no other."""
        self.key, self.kid = _new_key(bits), secrets.token_hex(8)

    # -- what it answers

    def configuration(self, _form: dict) -> dict:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": self.methods,
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }

    def keys(self, _form: dict) -> dict:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": "RS256"}]}

    def authorize(self, form: dict) -> str:
        wanted = {"response_type": "code", "client_id": CLIENT, "code_challenge_method": "S256"}
        for name, value in wanted.items():
            if form.get(name) != value:
                raise WrongError(f"{name} is {form.get(name)!r}")
        if form.get("redirect_uri") not in self.redirects:
            raise WrongError("redirect_uri is not registered")
        if "openid" not in form.get("scope", "").split():
            raise WrongError("no openid in scope")
        for name, least in (("state", 22), ("nonce", 22), ("code_challenge", 43)):
            if len(form.get(name, "")) < least:
                raise WrongError(f"{name} is missing or can be guessed")
        self.authorized.append(form)
        code = secrets.token_urlsafe(24)
        self._codes[code] = form
        said = {"code": code, "state": form["state"], "iss": self.url, **self.answer}
        return f"{form['redirect_uri']}?{urlencode({name: one for name, one in said.items() if one is not None})}"

    def token(self, form: dict) -> dict:
        begun = self._codes.pop(form.get("code", ""), None)
        if begun is None or form.get("grant_type") != "authorization_code":
            raise WrongError("invalid_grant")
        if form.get("redirect_uri") != begun["redirect_uri"] or form.get("client_id") != CLIENT:
            raise WrongError("invalid_grant")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != begun["code_challenge"]:
            raise WrongError("invalid_grant")
        if self.secret and form.get("client_secret") != self.secret:
            raise WrongError("invalid_client")
        return {"access_token": "opaque", "token_type": "Bearer", "expires_in": 60, "id_token": self.id_token(begun)}

    def id_token(self, begun: dict) -> str:
        now_s = int(time.time())
        claims = {
            "iss": self.url, "aud": CLIENT, "iat": now_s, "exp": now_s + 300, "nonce": begun["nonce"],
            **self.claims, **self.change,
        }  # fmt: skip
        claims = {name: one for name, one in claims.items() if one is not None}
        header = {"kid": self.kid, **self.header}
        header = {name: one for name, one in header.items() if one is not None}
        if self.forge == "garbage":
            return "not.a.token"
        if self.forge == "none":
            return jwt.encode(claims, None, algorithm="none", headers=header)
        if self.forge == "hmac":
            return self._keyed_with_the_public_key(claims, header)
        key = _new_key() if self.forge == "signature" else self.key
        return jwt.encode(claims, key, algorithm="RS256", headers=header)

    def _keyed_with_the_public_key(self, claims: dict, header: dict) -> str:
        kind = serialization.PublicFormat.SubjectPublicKeyInfo
        pem = self.key.public_key().public_bytes(serialization.Encoding.PEM, kind)
        parts = [{"typ": "JWT", "alg": "HS256", **header}, claims]
        signed = ".".join(_encoded(json.dumps(one).encode()) for one in parts)
        return f"{signed}.{_encoded(hmac.digest(pem, signed.encode(), 'sha256'))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class _Handler(BaseHTTPRequestHandler):
    issuer: Issuer
    timeout = 20

    def do_GET(self):
        parts = urlsplit(self.path)
        self.issuer.asked[parts.path] += 1
        form = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
        try:
            if parts.path == "/authorize":
                self._say(302, b"", location=self.issuer.authorize(form))
                return
            named = {"/.well-known/openid-configuration": self.issuer.configuration, "/keys": self.issuer.keys}
            self._json(named[parts.path](form))
        except (WrongError, KeyError) as wrong:
            self._say(400, json.dumps({"error": str(wrong)}).encode())

    def do_POST(self):
        self.issuer.asked[self.path] += 1
        body = self.rfile.read(int(self.headers["content-length"]))
        form = dict(parse_qsl(body.decode(), strict_parsing=True))
        scheme, _, pair = self.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            form["client_secret"] = unquote(base64.b64decode(pair).decode().partition(":")[2])
        try:
            self._json(self.issuer.token(form))
        except WrongError as wrong:
            self._say(400, json.dumps({"error": str(wrong), "error_description": "<script>"}).encode())

    def _json(self, value: dict) -> None:
        self._say(self.issuer.status, self.issuer.body if self.issuer.body is not None else json.dumps(value).encode())

    def _say(self, status: int, body: bytes, location: str = "") -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if location:
            self.send_header("location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def issuer(ca: trustme.CA, redirects: list[str]):
    """Run one; its ``url`` is at localhost."""
    made = Issuer(ca, redirects)
    handler = type("Handler", (_Handler,), {"issuer": made})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.socket = made.tls.wrap_socket(server.socket, server_side=True)
        made.url = f"https://localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join(10)
