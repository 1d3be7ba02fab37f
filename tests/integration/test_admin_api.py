"""The API over the network: TLS, tokens, roles, no bodies, and an audit of every deed."""

import asyncio
import hashlib
import json
import ssl
from contextlib import asynccontextmanager

import aiohttp
import pytest
import trustme

from node.admin.access import Role, Token
from node.admin.asking import Ask
from node.admin.routes import HEALTH, ROUTES
from node.app.administration import AdminTls
from node.audit import Audit, files_in, lines_of
from node.policy.chain import first_fault
from node.settings.host import Certificate
from node.tls.server import ServerTls
from tests.support.admin_house import admin_house

FAR = 4_000_000_000_000
TOKENS = [
    Token(name=role.name.lower(), digest=hashlib.sha256(role.name.encode()).hexdigest(), role=role, until_ms=FAR)
    for role in Role
]
BODY = {"reason": "the test", "filter": {"ids": ["nothing"]}, "account": "nobody", "address": "a@b.example"}
PLACES = {"{id}": "01a2-x", "{action}": "hold", "{number}": "7"}


@asynccontextmanager
async def house_on_a_port(tmp_path, host: str = "127.0.0.1", tls=None):
    async with admin_house(tmp_path, tokens=TOKENS, audit=Audit(tmp_path / "audit", "n1")) as house:
        await house.server.start_port(host, 0, tls)
        scheme = "http" if tls is None else "https"
        yield house, f"{scheme}://{host}:{house.server.port}"


def headers(role: Role | None) -> dict[str, str]:
    return {} if role is None else {"Authorization": f"Bearer {role.name}"}


def place(path: str) -> str:
    for name, value in PLACES.items():
        path = path.replace(name, value)
    return path


def body_of(route) -> dict:
    return {key: value for key, value in BODY.items() if key in route.keys}


@pytest.mark.parametrize("role", [None, *Role])
async def test_each_route_asks_for_its_role(tmp_path, role):
    async with house_on_a_port(tmp_path) as (_, base), aiohttp.ClientSession(headers=headers(role)) as http:
        for route in ROUTES:
            sent = {"json": body_of(route)} if route.method == "POST" else {}
            async with http.request(route.method, base + place(route.path), **sent) as answer:
                if not route.remote:
                    assert answer.status == 404, route.path
                elif role is None:
                    assert answer.status == 401, route.path
                elif role < route.role:
                    assert answer.status == 403, route.path
                else:
                    assert answer.status not in (401, 403, 429, 500), (route.path, await answer.text())


async def test_bodies_and_first_sign_ins_are_on_the_hosts_own_socket_alone():
    remote = [route for route in ROUTES if route.remote]
    assert not [route for route in remote if "body" in route.path]
    assert {route.path for route in ROUTES} - {route.path for route in remote} == {
        "/v1/messages/{id}/body",
        "/v1/part",
        "/v1/reports/{number}/body",
        "/v1/sign-in/once",
    }


async def test_who_calls_a_node_dead_must_be_an_admin(tmp_path):
    order = {"kind": "dead", "what": "relay-b", "reason": "burnt", "on": True}
    async with house_on_a_port(tmp_path) as (house, base), aiohttp.ClientSession() as http:
        house.control.cluster = object()
        async with http.post(base + "/v1/wishes", json=order, headers=headers(Role.OPERATOR)) as answer:
            assert answer.status == 403


async def test_a_deed_is_in_the_audit_with_who_and_where_from_and_looking_is_not(tmp_path):
    act = {"account": "contoso/relay1@contoso.com", "reason": "maintenance"}
    async with house_on_a_port(tmp_path) as (house, base), aiohttp.ClientSession(headers=headers(Role.ADMIN)) as http:
        async with http.get(base + "/v1/accounts") as answer:
            assert answer.status == 200
        async with http.post(base + "/v1/accounts/park", json=act) as answer:
            assert answer.status == 200
        async with http.post(base + "/v1/erase", json={"address": "someone@example.com"}) as answer:
            assert answer.status == 200
        status, _ = await house.ask("POST", "/v1/accounts/resume", json=act, headers={"X-Relay-Actor": "eve"})
        assert status == 200
    lines = list(lines_of(files_in(tmp_path / "audit")))
    assert first_fault(lines) == ""
    entries = [json.loads(line) for _, line in lines]
    assert [(one["actor"], one["role"], one["from"], one["event"]) for one in entries] == [
        ("admin", "admin", "127.0.0.1", "account changed"),
        ("admin", "admin", "127.0.0.1", "address erased from history"),
        ("eve", "admin", "socket", "account changed"),
    ]
    assert entries[0]["facts"] == {"action": "park", "account": "contoso/relay1@contoso.com", "why": "maintenance"}
    assert "someone@example.com" not in str(lines), "what is erased does not live on in the audit"


async def test_beyond_this_machine_metrics_are_for_whoever_has_a_token(tmp_path):
    async with house_on_a_port(tmp_path, "127.0.0.2") as (_, base), aiohttp.ClientSession() as http:
        async with http.get(base + "/ready") as answer:
            assert answer.status == 200
        async with http.get(base + "/metrics") as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        async with http.get(base + "/metrics", headers=headers(Role.VIEWER)) as answer:
            assert answer.status == 200


async def test_a_packed_body_is_refused(tmp_path):
    packed = {**headers(Role.ADMIN), "Content-Encoding": "gzip", "Content-Type": "application/json"}
    async with (
        house_on_a_port(tmp_path) as (_, base),
        aiohttp.ClientSession() as http,
        http.post(base + "/v1/erase", data=b"\x1f\x8b", headers=packed) as answer,
    ):
        assert answer.status == 400


async def test_a_new_certificate_is_used_from_the_next_handshake_on(tmp_path):
    authority = trustme.CA()
    place = Certificate(certificate=tmp_path / "c.pem", key={"file": str(tmp_path / "k.pem")})

    def issue() -> None:
        made = authority.issue_cert("127.0.0.1")
        made.private_key_pem.write_to_path(tmp_path / "k.pem")
        (tmp_path / "c.pem").write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))

    issue()
    tls = AdminTls(ServerTls("admin", place))
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    async with house_on_a_port(tmp_path, tls=tls.context) as (house, _):

        async def serial() -> int:
            _, writer = await asyncio.open_connection("127.0.0.1", house.server.port, ssl=trusted)
            shown = writer.get_extra_info("peercert")["serialNumber"]
            writer.close()
            return shown

        before = await serial()
        issue()
        assert await serial() == before, "nobody looked yet"
        tls.look()
        assert await serial() != before


async def test_the_description_names_every_route_of_the_port(tmp_path):
    async with (
        house_on_a_port(tmp_path) as (_, base),
        aiohttp.ClientSession() as http,
        http.get(base + "/v1/openapi.json") as answer,
    ):
        described = await answer.json()
    found = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert found == {(route.method, route.path) for route in (*HEALTH, *ROUTES) if route.remote}
    assert all(one["summary"] for methods in described["paths"].values() for one in methods.values())


def test_an_ask_is_an_admins_unless_said_otherwise_only_on_the_socket():
    assert Ask().caller.at == "socket"
