"""Sign-in by an OpenID provider: who gets in, with what role, and everything that must not be believed."""

import contextlib
import json
import secrets
import ssl
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import trustme

from node.admin.access import Role
from node.admin.oidc import Oidc, Rules, challenge_of
from node.admin.oidc_provider import Client, Provider
from node.admin.oidc_routes import BROWSER, SESSION
from node.admin.server import AdminServer
from node.audit import Audit, files_in, lines_of
from node.console.server import ARRIVED, Console
from node.m365.https import Https
from node.settings.host import Egress
from tests.support.admin_house import admin_house
from tests.support.oidc_issuer import CLIENT, Issuer, issuer
from tests.support.ports import free_ports

ROLES = {"relay-ops": Role.OPERATOR, "helpdesk": Role.VIEWER, "relay-admins": Role.ADMIN}


@dataclass
class Door:
    """A node's port behind TLS, the provider, and a browser."""

    base: str
    issuer: Issuer
    oidc: Oidc
    browser: aiohttp.ClientSession
    tls: ssl.SSLContext
    audit: Path
    server: AdminServer
    server_tls: ssl.SSLContext

    async def sign_in(self, path: str = "/v1/oidc/begin", browser=None) -> tuple[int, str, dict]:
        """Go where a browser is sent, until it is back: status, text and headers of the last answer."""
        back = await self.sent_back(path, browser)
        return await self.get(back, browser)

    async def sent_back(self, path: str = "/v1/oidc/begin", browser=None) -> str:
        status, text, headers = await self.get(self.base + path, browser)
        assert status == 302, text
        status, text, headers = await self.get(headers["Location"], browser)
        assert status == 302, text
        return headers["Location"]

    async def get(self, url: str, browser=None, **more) -> tuple[int, str, dict]:
        async with (browser or self.browser).get(url, allow_redirects=False, **more) as answer:
            return answer.status, await answer.text(), dict(answer.headers)

    async def post(self, path: str, value: dict, **headers: str) -> tuple[int, dict]:
        async with self.browser.post(self.base + path, json=value, headers=headers) as answer:
            return answer.status, await answer.json()

    def cookies(self) -> set[str]:
        return {one.key for one in self.browser.cookie_jar}

    def deeds(self) -> list[dict]:
        return [json.loads(line) for _, line in lines_of(files_in(self.audit))]


@contextlib.asynccontextmanager
async def door(tmp_path, *, secret: str = "", **rules):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(server_tls)
    client_tls = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    (port,) = free_ports(1)
    base = f"https://localhost:{port}"
    redirect = f"{base}/v1/oidc/callback"
    with issuer(ca, [redirect]) as made:
        made.secret = secret
        client = Client(client_id=CLIENT, secret=(lambda: secret) if secret else None)
        provider = Provider(made.url, client, Https(Egress(ca=tmp_path / "ca.pem")))
        oidc = Oidc(provider, Rules(client_id=CLIENT, redirect=redirect, roles=ROLES, **rules))
        audit = Audit(tmp_path / "audit", "n1")
        try:
            async with admin_house(tmp_path, oidc=oidc, audit=audit) as house, _browser(client_tls) as browser:
                await house.server.start_port("127.0.0.1", port, server_tls)
                yield Door(base, made, oidc, browser, client_tls, tmp_path / "audit", house.server, server_tls)
        finally:
            await provider.close()


def _browser(tls: ssl.SSLContext) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls))


@pytest.fixture
async def house(tmp_path):
    async with door(tmp_path) as made:
        yield made


async def test_somebody_signs_in_and_acts_as_his_groups_allow(house):
    status, text, headers = await house.sign_in()
    assert (status, text) == (200, "Signed in as anna@contoso.com, operator. This page can be closed.\n")
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert house.cookies() == {SESSION}, "the mark of the sign-in is gone"
    assert (await house.get(house.base + "/v1/status"))[0] == 200
    park = {"account": "contoso/relay1@contoso.com", "reason": "test"}
    assert (await house.post("/v1/accounts/park", park, Origin=house.base))[0] == 200
    assert (await house.post("/v1/erase", {"address": "a@b"}, Origin=house.base))[0] == 403, "an admin's"
    told = [(one["event"], one["actor"], one["role"]) for one in house.deeds()]
    assert told == [
        ("signed in", "oidc:anna@contoso.com", "operator"),
        ("account changed", "oidc:anna@contoso.com", "operator"),
    ]
    (asked,) = house.issuer.authorized
    assert asked["scope"] == "openid profile"
    assert "prompt" not in asked


async def test_a_browser_is_led_on_to_the_console_and_is_the_same_person_there(tmp_path):
    async with door(tmp_path) as house:
        console = Console(house.server, node="n1", names=("localhost",), provider=True)
        house.server.sign_in.home = ARRIVED
        (port,) = free_ports(1)
        await house.server.start_port("127.0.0.1", port, house.server_tls, pages=console.mount)
        pages = f"https://localhost:{port}"
        assert "/v1/oidc/begin" in (await house.get(pages + "/console/sign-in"))[1]
        assert (await house.get(pages + ARRIVED))[2]["Location"] == "/console/sign-in", "nobody has signed in"
        status, text, _ = await house.sign_in()
        assert (status, f"url={ARRIVED}" in text) == (200, True)
        status, _, headers = await house.get(pages + ARRIVED)
        assert (status, headers["Location"]) == (303, "/console/")
        assert "oidc:anna@contoso.com" in (await house.get(pages + "/console/"))[1]


async def test_cookies_are_of_this_host_alone_and_out_of_reach_of_scripts(house):
    async with house.browser.get(house.base + "/v1/oidc/begin", allow_redirects=False) as answer:
        (mark,) = answer.headers.getall("Set-Cookie")
    back = await house.sent_back()
    async with house.browser.get(back, allow_redirects=False) as answer:
        set_ = answer.headers.getall("Set-Cookie")
    session = next(one for one in set_ if one.startswith(SESSION))
    for one, site in ((mark, "Lax"), (session, "Strict")):
        assert {"HttpOnly", "Secure", "Path=/", f"SameSite={site}"} <= set(one.split("; "))
        assert "Domain" not in one


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 403), ({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403)],
    ids=["no origin", "another's page", "a page without one"],
)
async def test_only_pages_of_this_host_act_for_a_session(house, headers, status):
    await house.sign_in()
    park = {"account": "contoso/relay1@contoso.com"}
    assert (await house.post("/v1/accounts/park", park, **headers))[0] == status
    assert (await house.get(house.base + "/v1/status", headers={"Origin": "https://evil.example"}))[0] == 403


async def test_a_session_is_for_the_host_it_was_made_for(house):
    """A name of somebody else's that leads here (DNS rebinding) gets nothing."""
    await house.sign_in()
    status, text, _ = await house.get(house.base + "/v1/status", headers={"Host": "evil.example"})
    assert (status, json.loads(text)["error"]) == (403, "this session is for another host")


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"groups": ["helpdesk"]}, "viewer"),
        ({"groups": ["helpdesk", "relay-admins", "others"]}, "admin"),
        ({"groups": [], "roles": "relay-ops"}, "operator"),
        ({"groups": {"odd": 1}, "roles": [3, None, "helpdesk"]}, "viewer"),
    ],
)
async def test_the_highest_role_of_groups_and_roles_counts(house, claims, role):
    house.issuer.claims |= claims
    assert f", {role}." in (await house.sign_in())[1]


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"groups": ["others"]}, "no group or role of anna@contoso.com has a role here"),
        ({"groups": None}, "no group or role"),
        ({"groups": None, "_claim_names": {"groups": "src1"}}, "too many groups"),
    ],
)
async def test_who_has_no_role_here_stays_outside(house, claims, words):
    house.issuer.claims |= claims
    status, text, _ = await house.sign_in()
    assert status == 403
    assert words in text
    assert SESSION not in house.cookies()


async def test_a_name_that_could_drive_a_terminal_is_cut(house):
    house.issuer.claims |= {"preferred_username": "\x1b[31m<b>anna\r\n" + "x" * 200}
    _, text, _ = await house.sign_in()
    name = text.removeprefix("Signed in as ").rpartition(", operator")[0]
    assert name.isprintable()
    assert len(name) == 64


NOW = int(time.time())
WRONG = {
    "another nonce": ({"change": {"nonce": "x" * 43}}, "answers another request"),
    "no nonce": ({"change": {"nonce": None}}, "answers another request"),
    "run out": ({"change": {"exp": NOW - 3600}}, "has run out"),
    "no end": ({"change": {"exp": None}}, "does not hold"),
    "of the future": ({"change": {"iat": NOW + 7200, "nbf": NOW + 7200}}, "not valid yet"),
    "for somebody else": ({"change": {"aud": "another"}}, "for somebody else"),
    "also for somebody else": ({"change": {"aud": [CLIENT, "another"]}}, "given to somebody else (azp)"),
    "given to somebody else": ({"change": {"azp": "another"}}, "given to somebody else (azp)"),
    "another issuer": ({"change": {"iss": "https://evil.example"}}, "another issuer's"),
    "nobody": ({"change": {"sub": None}}, "does not hold"),
    "unsigned": ({"forge": "none"}, "not signed by RS256"),
    "keyed with the public key": ({"forge": "hmac"}, "not signed by RS256"),
    "signed by another key": ({"forge": "signature"}, "does not hold"),
    "an unknown key": ({"header": {"kid": "unknown"}}, "publishes no key"),
    "an unknown extension": ({"header": {"crit": ["x"], "x": 1}}, ""),
    "no token": ({"forge": "garbage"}, "cannot be read"),
    "another's answer": ({"answer": {"iss": "https://evil.example"}}, "the answer is another issuer's"),
    "nobody's answer": ({"answer": {"iss": None}}, "the answer is another issuer's"),
    "an error": ({"answer": {"code": None, "error": "access_denied"}}, "the provider says access_denied"),
    "an error of marks": ({"answer": {"code": None, "error": "<script>"}}, "the provider says an error"),
    "no code": ({"answer": {"code": None}}, "holds no code"),
    "a guessed code": ({"answer": {"code": "guessed"}}, "takes its own code no more (invalid_grant)"),
    "another state": ({"answer": {"state": "x" * 43}}, "nobody began it here"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_not_believed(house, name):
    wrong, words = WRONG[name]
    for what, value in wrong.items():
        setattr(house.issuer, what, value)
    status, text, _ = await house.sign_in()
    assert status == 401
    assert words in json.loads(text)["error"]
    assert SESSION not in house.cookies()
    assert (await house.get(house.base + "/v1/status"))[0] == 401
    assert house.deeds() == []
    assert "eyJ" not in text, "no token is shown"
    for what in wrong:
        setattr(house.issuer, what, {} if what != "forge" else "")
    assert (await house.sign_in())[0] == 200, "the next one gets in"


async def test_clocks_may_differ_by_a_minute(house):
    house.issuer.change = {"iat": int(time.time()) + 40, "nbf": int(time.time()) + 40}
    assert (await house.sign_in())[0] == 200
    house.issuer.change = {"exp": int(time.time()) - 40}
    assert (await house.sign_in())[0] == 200


async def test_a_short_key_is_not_taken(house):
    house.issuer.rotate(bits=1024)
    with pytest.warns(Warning, match="below"):  # the library says so too
        status, text, _ = await house.sign_in()
    assert status == 401
    assert "shorter than 2048 bits" in text


async def test_a_new_key_is_found_by_itself_and_forged_ones_make_nobody_ask(house):
    assert (await house.sign_in())[0] == 200
    now_s = time.monotonic()
    house.oidc.provider._now_s = lambda: now_s + 31
    house.issuer.rotate()
    assert (await house.sign_in())[0] == 200
    assert house.issuer.asked["/keys"] == 2
    house.issuer.header = {"kid": "forged"}
    for _ in range(5):
        assert (await house.sign_in())[0] == 401
    assert house.issuer.asked["/keys"] == 2
    assert house.issuer.asked["/.well-known/openid-configuration"] == 1


async def test_an_answer_is_taken_once_and_from_the_browser_that_asked(house):
    back = await house.sent_back()
    async with _browser(house.tls) as other:
        status, text, _ = await house.get(back, other)
        assert (status, "another browser began it" in text) == (401, True)
    assert (await house.get(back))[0] == 401, "what was tried from elsewhere is of no use to anybody"
    back = await house.sent_back()
    assert (await house.get(back))[0] == 200
    asked = Counter(house.issuer.asked)
    status, text, _ = await house.get(back)
    assert (status, "nobody began it here" in text) == (401, True)
    assert house.issuer.asked == asked, "a replayed code is not even offered"


async def test_an_answer_that_says_something_twice_is_none(house):
    back = await house.sent_back()
    status, text, _ = await house.get(f"{back}&code=other")
    assert (status, "says code twice" in text) == (401, True)


async def test_what_was_begun_too_long_ago_is_forgotten(house):
    back = await house.sent_back()
    now_s = time.monotonic()
    house.oidc._now_s = lambda: now_s + 601
    assert (await house.get(back))[0] == 401
    await house.sent_back()
    assert len(house.oidc._pending) == 1


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("metadata", {"issuer": "https://evil.example"}, "names another issuer"),
        ("metadata", {"token_endpoint": "http://evil.example/token"}, "without https"),
        ("metadata", {"jwks_uri": 3}, "not what OpenID Connect says"),
        ("status", 503, "answers 503"),
        ("body", b"<html>", "not what OpenID Connect says"),
        ("body", b"{" + b" " * (2 << 20) + b"}", "the provider answers 200"),
    ],
    ids=["another issuer", "in clear", "no address", "down", "a page", "no end"],
)
async def test_a_provider_that_cannot_be_asked_is_said_and_asked_again(house, attribute, value, words):
    before = getattr(house.issuer, attribute)
    setattr(house.issuer, attribute, value)
    status, text, _ = await house.get(house.base + "/v1/oidc/begin")
    assert status == 503
    assert words in json.loads(text)["error"]
    setattr(house.issuer, attribute, before)
    assert (await house.sign_in())[0] == 200


@pytest.mark.parametrize("methods", [["client_secret_basic"], ["client_secret_post"]])
async def test_a_secret_is_shown_as_the_provider_wants_it(tmp_path, methods):
    async with door(tmp_path, secret="s3cret: with /signs%") as house:
        house.issuer.methods = methods
        assert (await house.sign_in())[0] == 200
        house.issuer.secret = "another"
        status, text, _ = await house.sign_in()
        assert (status, "invalid_client" in text) == (401, True)
        assert "s3cret" not in text


async def test_an_address_that_asks_all_the_time_is_slowed_down(house):
    found = [(await house.get(house.base + "/v1/oidc/begin"))[0] for _ in range(32)]
    assert Counter(found) == {302: 30, 429: 2}
    assert len(house.oidc._pending) == 30


# -- a program on the browser's machine


def asking(port: int = 40_000) -> tuple[str, str, str]:
    verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
    return f"/v1/oidc/begin?port={port}&challenge={challenge_of(verifier)}&state={state}", verifier, state


async def test_a_program_gets_a_token_for_its_code(house):
    path, verifier, state = asking()
    status, _, headers = await house.sign_in(path)
    assert status == 302
    where = urlsplit(headers["Location"])
    said = parse_qs(where.query)
    assert (where.scheme, where.netloc, said["state"]) == ("http", "127.0.0.1:40000", [state])
    assert house.cookies() == set(), "the browser itself is not signed in"
    assert house.issuer.authorized[0]["prompt"] == "login", "never without somebody being asked"
    code = {"code": said["code"][0], "verifier": verifier}
    status, opened = await house.post("/v1/oidc/token", code)
    assert (status, opened["name"], opened["role"]) == (200, "oidc:anna@contoso.com", "operator")
    bearer = {"Authorization": f"Bearer {opened['token']}"}
    assert (await house.get(house.base + "/v1/status", headers=bearer))[0] == 200
    assert (await house.post("/v1/oidc/token", code))[0] == 401, "a code is of one use"
    assert (await house.post("/v1/oidc/logout", {}, **bearer))[0] == 200
    assert (await house.get(house.base + "/v1/status", headers=bearer))[0] == 401
    assert [one["event"] for one in house.deeds()] == ["signed in", "signed out"]


async def test_a_code_is_nothing_to_who_does_not_know_the_verifier(house):
    path, verifier, _ = asking()
    _, _, headers = await house.sign_in(path)
    code = parse_qs(urlsplit(headers["Location"]).query)["code"][0]
    assert (await house.post("/v1/oidc/token", {"code": code, "verifier": "x" * 43}))[0] == 401
    assert (await house.post("/v1/oidc/token", {"code": code, "verifier": verifier}))[0] == 401, "tried once"


@pytest.mark.parametrize(
    "query",
    ["port=80", "port=99999", "port=40000", "port=40000&challenge=short&state=0123456789abcdef", "host=evil.example"],
)
async def test_a_program_that_asks_wrongly_is_told(house, query):
    status, text, _ = await house.get(f"{house.base}/v1/oidc/begin?{query}")
    assert status == 400
    assert json.loads(text)["error"]


async def test_what_is_no_sign_in_cannot_be_signed_out(house):
    assert (await house.post("/v1/oidc/logout", {}))[0] == 401
    assert (await house.post("/v1/oidc/logout", {}, Authorization="Bearer x"))[0] == 401


async def test_without_a_provider_there_is_no_sign_in(tmp_path):
    async with admin_house(tmp_path) as made:
        await made.server.start_port("127.0.0.1", 0)
        async with aiohttp.ClientSession() as http:
            for path in ("begin", "callback"):
                async with http.get(f"http://127.0.0.1:{made.server.port}/v1/oidc/{path}") as answer:
                    assert answer.status == 404
            async with http.get(f"http://127.0.0.1:{made.server.port}/v1/status", cookies={SESSION: "x"}) as answer:
                assert answer.status == 401


def test_the_names_of_the_cookies_bind_them_to_the_host():
    assert all(name.startswith("__Host-") for name in (BROWSER, SESSION))
