"""Tokens from a real HTTPS endpoint: secret, certificate, private CA, proxy, and everything that can go wrong."""

import asyncio
import logging
import socket

import pytest
import trustme
from aiohttp import web

from node.errors import ConfigurationError
from node.m365.app import TenantApp, tenant_app
from node.m365.entra import Entra
from node.m365.errors import AlertReason, CredentialUnusable, TokenRefused, TokenUnavailable
from node.m365.tokens import TokenSource
from node.settings.base import SecretRef
from node.settings.host import Egress
from node.settings.mail import Tenant
from tests.support.entra import (
    CLIENT,
    SCOPE,
    TENANT,
    ConnectProxy,
    FakeEntra,
    app_certificate,
    entra_error,
    serving_entra,
    serving_proxy,
)

SECRET = "s3cr3t-Value~x.y"


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "corp-ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "app-secret"
    path.write_text(SECRET + "\n")
    return path


@pytest.fixture
async def entra(authority):
    async with serving_entra(FakeEntra(secrets={SECRET}), authority) as serving:
        yield serving


@pytest.fixture
async def sources():
    made = []
    yield made
    for source in made:
        await source.close()


@pytest.fixture
def source(entra, ca_file, secret_file, sources):
    def make(*, egress=None, request_s=10.0, **changes):
        known = {"tenant_id": TENANT, "client_id": CLIENT, "authority": entra.url, "scope": SCOPE}
        if "certificate" not in changes:
            known["secret"] = SecretRef(file=secret_file)
        app = TenantApp(**{**known, **changes})
        fetcher = Entra(egress or Egress(ca=ca_file), request_s=request_s)
        sources.append(TokenSource({"contoso": app}, fetcher))
        return sources[-1]

    return make


async def failure(source, kind=TokenUnavailable):
    with pytest.raises(kind) as caught:
        await source.token("contoso")
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


async def test_a_secret_gets_one_token_that_serves_everybody(source, entra):
    tokens = source()
    first, *others = await asyncio.gather(*(tokens.token("contoso") for _ in range(50)))
    assert first.value == "token-1"
    assert set(map(id, others)) == {id(first)}
    assert len(entra.seen) == 1
    assert first.value not in repr(first)
    assert first.value not in f"{first}"


async def test_a_certificate_signs_an_assertion_that_the_endpoint_verifies(source, entra, tmp_path):
    path = tmp_path / "app.pem"
    entra.certificates.append(app_certificate(path))
    token = await source(certificate=SecretRef(file=path)).token("contoso")
    assert token.value == "token-1"
    assert "client_secret" not in entra.seen[0]


async def test_a_certificate_with_password(source, entra, tmp_path):
    path, password = tmp_path / "app.pem", tmp_path / "password"
    entra.certificates.append(app_certificate(path, b"opensesame"))
    password.write_text("opensesame")
    refs = {"certificate": SecretRef(file=path), "certificate_password": SecretRef(file=password)}
    await source(**refs).token("contoso")
    password.write_text("wrong")
    error = await failure(source(**refs), CredentialUnusable)
    assert "opensesame" not in str(error)


async def test_a_certificate_nobody_registered_is_refused_for_good(source, entra, tmp_path):
    path = tmp_path / "app.pem"
    app_certificate(path)
    error = await failure(source(certificate=SecretRef(file=path)), TokenRefused)
    assert error.reason is AlertReason.CERTIFICATE_REFUSED


@pytest.mark.parametrize(
    ("content", "what"),
    [("garbage", "cannot be used"), ("", "is empty"), (None, "No such file"), ("-----BEGIN X-----", "cannot be used")],
)
async def test_an_unusable_certificate_file_is_named_and_nothing_is_sent(source, entra, tmp_path, content, what):
    path = tmp_path / "app.pem"
    if content is not None:
        path.write_text(content)
    error = await failure(source(certificate=SecretRef(file=path)), CredentialUnusable)
    assert what in str(error)
    assert entra.seen == []


async def test_a_secret_is_changed_without_restart(source, entra, secret_file):
    tokens = source()
    entra.secrets = {"the-new-one"}
    assert (await failure(tokens, TokenRefused)).reason is AlertReason.SECRET_WRONG
    await failure(tokens, TokenRefused)
    assert len(entra.seen) == 1, "a permanent refusal is not asked for again"
    secret_file.write_text("the-new-one")
    tokens._flows["contoso"].looked_ms = 0  # as if two seconds had gone by since the file was last looked at
    assert (await tokens.token("contoso")).value == "token-2"


@pytest.mark.parametrize(
    ("number", "error", "reason"),
    [
        (7000215, "invalid_client", AlertReason.SECRET_WRONG),
        (7000222, "invalid_client", AlertReason.SECRET_EXPIRED),
        (700016, "unauthorized_client", AlertReason.APP_UNKNOWN),
        (90002, "invalid_request", AlertReason.TENANT_UNKNOWN),
        (70011, "invalid_scope", AlertReason.SCOPE_REFUSED),
        (53003, "access_denied", AlertReason.BLOCKED),
    ],
)
async def test_what_a_person_must_mend_is_permanent_and_named(source, entra, number, error, reason):
    entra.script.append(lambda _: entra_error(number, error, 400, echo=SECRET))
    refused = await failure(source(), TokenRefused)
    assert refused.reason is reason
    assert f"AADSTS{number}" in str(refused)
    assert refused.retry_ms > 0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (web.Response(status=429, headers={"Retry-After": "7"}), AlertReason.THROTTLED),
        (web.json_response({"error": "temporarily_unavailable"}, status=429), AlertReason.THROTTLED),
        (web.Response(status=500, text="oops"), AlertReason.SERVER_ERROR),
        (web.json_response({"error": "server_error"}, status=503), AlertReason.SERVER_ERROR),
        (web.Response(status=502, text="<html>", content_type="text/html"), AlertReason.SERVER_ERROR),
        (web.Response(text="{not json", content_type="application/json"), AlertReason.UNREADABLE),
        (web.Response(text="<html>hello", content_type="text/html"), AlertReason.UNREADABLE),
        (web.Response(body=b"\xff\xfe", content_type="application/octet-stream"), AlertReason.UNREADABLE),
        (web.Response(body=b"", content_type="application/json"), AlertReason.UNREADABLE),
        (web.json_response([1, 2]), AlertReason.UNREADABLE),
        (web.json_response({"access_token": "x"}), AlertReason.UNREADABLE),
        (web.json_response({"access_token": "x", "expires_in": "soon"}), AlertReason.UNREADABLE),
        (web.json_response({"expires_in": 4500}), AlertReason.UNREADABLE),
        (web.json_response({"expires_in": 4500, "access_token": 7}), AlertReason.UNREADABLE),
        (web.json_response({"expires_in": 4500, "access_token": "a\r\nb"}), AlertReason.UNREADABLE),
        (web.json_response({"error": "invalid_thing"}, status=400), AlertReason.UNCLEAR),
    ],
)
async def test_what_may_pass_is_temporary(source, entra, answer, reason):
    entra.script.append(answer)
    error = await failure(source())
    assert error.reason is reason
    assert error.temporary


async def test_retry_after_is_kept(source, entra):
    entra.script.append(web.Response(status=429, headers={"Retry-After": "300"}))
    tokens = source()
    began_ms = tokens._now_ms()
    error = await failure(tokens)
    assert error.retry_ms >= began_ms + 300_000
    assert await failure(tokens) is error
    assert len(entra.seen) == 1


async def test_no_answer_in_time(source, entra):
    entra.hold = asyncio.Event()
    error = await failure(source(request_s=0.2))
    assert error.reason is AlertReason.TIMED_OUT
    entra.hold.set()


async def test_a_connection_cut_in_the_middle(source, entra):
    async def cut(request):
        request.transport.abort()
        return web.Response()

    entra.script.append(cut)
    assert (await failure(source())).reason in {AlertReason.UNREACHABLE, AlertReason.TIMED_OUT}


async def test_nobody_listens(source):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await failure(source(authority=f"https://localhost:{taken.getsockname()[1]}"))
    assert error.reason is AlertReason.UNREACHABLE


async def test_an_authority_not_trusted_is_refused(source, tmp_path):
    error = await failure(source(egress=Egress()))
    assert (error.reason, "not trusted" in str(error)) == (AlertReason.UNREACHABLE, True)


async def test_a_certificate_for_another_name_is_refused(authority, ca_file, source):
    async with serving_entra(FakeEntra(secrets={SECRET}), authority, "login.example") as other:
        error = await failure(source(authority=other.url))
    assert error.reason is AlertReason.UNREACHABLE


async def test_a_private_ca_that_cannot_be_read_is_a_configuration_error(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("nonsense")
    with pytest.raises(ConfigurationError, match=r"egress\.ca"):
        Entra(Egress(ca=path))


async def test_the_proxy_is_used_and_its_password_stays_secret(source, entra, ca_file):
    async with serving_proxy(ConnectProxy(credentials="relay:pr0xyPass")) as proxy:
        tokens = source(egress=Egress(ca=ca_file, https_proxy=proxy.url))
        assert (await tokens.token("contoso")).value == "token-1"
        assert proxy.targets == [entra.url.removeprefix("https://")]
        wrong = proxy.url.replace("pr0xyPass", "wr0ngPass")
        error = await failure(source(egress=Egress(ca=ca_file, https_proxy=wrong)))
    assert (error.reason, "proxy" in str(error)) == (AlertReason.UNREACHABLE, True)
    assert "wr0ngPass" not in str(error)


async def test_no_proxy_goes_straight_and_the_environment_is_not_asked(source, entra, ca_file, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    egress = Egress(ca=ca_file, https_proxy="http://127.0.0.1:1", no_proxy=("localhost",))
    assert (await source(egress=egress).token("contoso")).value == "token-1"
    assert (await source(egress=Egress(ca=ca_file)).token("contoso")).value == "token-2"


async def test_the_source_address_is_used(source, entra, ca_file):
    egress = Egress(ca=ca_file, source_address="127.0.0.9")
    await source(egress=egress).token("contoso")
    assert entra.peers[0][0] == "127.0.0.9"


async def test_an_outage_does_not_stop_whoever_holds_a_token(source, entra):
    tokens = source()
    held = await tokens.token("contoso")
    tokens._flows["contoso"].not_before_ms = 0
    entra.script.extend([web.Response(status=503)] * 3)
    assert tokens.invalidate("contoso")
    assert await tokens.token("contoso") is held
    assert [state.reason for state in tokens.states()] == [AlertReason.SERVER_ERROR]
    assert len(entra.seen) == 2


async def test_nothing_secret_is_logged(source, entra, caplog):
    caplog.set_level(logging.DEBUG)
    entra.script.append(lambda _: entra_error(7000215, echo=SECRET))
    await failure(source(), TokenRefused)
    token = await source().token("contoso")
    assert SECRET not in caplog.text
    assert token.value not in caplog.text


@pytest.mark.parametrize("change", [{"tenant_id": "a/../b"}, {"authority": "http://localhost"}, {"client_id": ""}])
async def test_impossible_settings_are_refused_before_anything_is_sent(source, entra, change):
    await failure(source(**change), CredentialUnusable)
    assert entra.seen == []


async def test_closing_while_asking_leaves_nobody_waiting(source, entra):
    entra.hold = asyncio.Event()
    tokens = source()
    waiter = asyncio.create_task(tokens.token("contoso"))
    await entra.arrived.wait()
    await tokens.close()
    await tokens.close()
    with pytest.raises(TokenUnavailable, match="stopped"):
        await waiter
    entra.hold.set()


def test_the_settings_give_app_and_cloud():
    tenant = {"id": TENANT, "domains": ["contoso.com"]}
    assert tenant_app(Tenant.model_validate(tenant)) is None
    app = {"client_id": CLIENT, "secret": {"file": "/x"}}
    made = tenant_app(Tenant.model_validate({**tenant, "app": app, "cloud": "china"}))
    assert (made.authority, made.scope) == (
        "https://login.partner.microsoftonline.cn",
        "https://partner.outlook.cn/.default",
    )


async def test_the_date_of_any_answer_tells_the_time_there(entra, ca_file):
    client = Entra(Egress(ca=ca_file))
    try:
        found = await client.date(entra.url)
        assert found is not None
        assert abs(found.date_ms - found.sent_ms) <= 2_000 + found.took_ms
        assert await client.date("https://127.0.0.1:1") is None
    finally:
        await client.close()
