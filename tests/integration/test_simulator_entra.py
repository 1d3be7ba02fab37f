"""The simulated token endpoint: azure-identity itself is the client where it can be; the AADSTS texts by hand."""

import asyncio
import contextlib
import datetime as dt
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientSecretCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from node.rehearsal.simulator.directory import AUDIENCE, CLIENT, SECRET, TENANT, default_directory, read_directory
from node.rehearsal.simulator.script import read_steps
from node.rehearsal.simulator.server import Simulator

SCOPE = f"{AUDIENCE}/.default"
FORM = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET, "scope": SCOPE}


def app_certificate(directory):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rehearsal app")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = directory / "app.pem"
    path.write_bytes(public)
    return path, private + public


def directory(**app):
    spec = default_directory().model_dump()
    spec["tenants"][TENANT]["apps"][CLIENT].update(app)
    return read_directory(spec, "test")


async def post(simulator, form, tenant=TENANT):
    def ask():
        context = ssl.create_default_context(cafile=str(simulator.ca_file))
        url = f"{simulator.authority_url}/{tenant}/oauth2/v2.0/token"
        try:
            with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), context=context) as answer:
                return 200, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize(
    ("changes", "tenant", "app", "status", "error", "number"),
    [
        ({"client_secret": "wrong"}, TENANT, {}, 401, "invalid_client", 7000215),
        ({"client_secret": "old"}, TENANT, {"expired_secrets": ["old"]}, 401, "invalid_client", 7000222),
        ({"client_id": "unknown"}, TENANT, {}, 400, "unauthorized_client", 700016),
        ({}, "no-such-tenant", {}, 400, "invalid_request", 90002),
        ({"scope": "https://example.com/.default"}, TENANT, {}, 400, "invalid_scope", 70011),
        ({}, TENANT, {"permission": False}, 400, "invalid_scope", 70011),
        ({"grant_type": "password"}, TENANT, {}, 400, "unsupported_grant_type", 70003),
    ],
)
async def test_errors_are_told_apart(changes, tenant, app, status, error, number):
    async with Simulator(directory(**app)) as simulator:
        code, body = await post(simulator, FORM | changes, tenant)
        assert (code, body["error"], body["error_codes"]) == (status, error, [number])
        assert body["error_description"].startswith(f"AADSTS{number}")


async def test_lifetimes_are_random_between_sixty_and_ninety_minutes():
    async with Simulator() as simulator:
        lives = [(await post(simulator, FORM))[1]["expires_in"] for _ in range(5)]
        assert all(3600 <= life <= 5400 for life in lives)
        assert len(set(lives)) > 1
        assert simulator.hub.tokens["issued"] == 5


async def test_outages_are_scripted():
    steps = read_steps(
        [{"at": "token", "times": 1, "reply": "503 AADSTS90033: A transient error"}, {"at": "token", "cut": True}], "t"
    )
    async with Simulator(steps=steps) as simulator:
        code, body = await post(simulator, FORM)
        assert (code, body["error_codes"]) == (503, [90033])
        with contextlib.suppress(OSError):
            assert (await post(simulator, FORM))[0] != 200


@pytest.mark.parametrize("kind", ["secret", "certificate"])
async def test_azure_identity_gets_a_token_that_opens_the_mailbox(kind, tmp_path, monkeypatch):
    public, both = app_certificate(tmp_path)
    async with Simulator(directory(certificates=[str(public)])) as simulator:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(simulator.ca_file))
        common = {"authority": simulator.authority_url, "disable_instance_discovery": True}
        credential = (
            ClientSecretCredential(TENANT, CLIENT, SECRET, **common)
            if kind == "secret"
            else CertificateCredential(TENANT, CLIENT, certificate_data=both, **common)
        )
        with credential:
            token = await asyncio.to_thread(credential.get_token, SCOPE)
        assert simulator.hub.token_admits(token.token, "relay1@contoso.com")


async def test_a_certificate_nobody_registered_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    registered, _ = app_certificate(tmp_path / "a")
    _, other = app_certificate(tmp_path / "b")
    async with Simulator(directory(certificates=[str(registered)])) as simulator:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(simulator.ca_file))
        common = {"authority": simulator.authority_url, "disable_instance_discovery": True}
        refused = pytest.raises(ClientAuthenticationError, match="AADSTS700027")
        with CertificateCredential(TENANT, CLIENT, certificate_data=other, **common) as credential, refused:
            await asyncio.to_thread(credential.get_token, SCOPE)
        form = {name: value for name, value in FORM.items() if name != "client_secret"}
        assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        forged = simulator.hub.signer.sign({"aud": "x", "iss": CLIENT, "sub": CLIENT})
        for assertion in (forged, "rubbish", "a.b.c"):
            given = form | {"client_assertion_type": assertion_type, "client_assertion": assertion}
            assert (await post(simulator, given))[0] == 401
