"""The administration interface over a real Unix socket and a real spool: what it answers, what it refuses."""

import asyncio
import json
import socket
import stat

import aiohttp
import pytest

from node.admin.control import Readiness
from node.admin.queries import BadRequestError
from node.admin.server import BODY_MAX_BYTES, AdminServer
from node.policy.envelope import RecipientState
from tests.support.admin_house import admin_house
from tests.support.spool_mail import BODY, attempt, settlement

ACCOUNT = "contoso/relay1@contoso.com"


@pytest.fixture
async def house(tmp_path):
    async with admin_house(tmp_path) as made:
        yield made


def states(view):
    return [one["state"] for one in view["recipients"]]


# -- what it answers


async def test_only_the_owner_may_open_the_socket(house):
    assert stat.S_IMODE(house.socket.stat().st_mode) == 0o600


async def test_a_stale_socket_is_replaced(house, tmp_path):
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(stale))
    server = AdminServer(house.control)
    await server.start_socket(stale)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(stale))) as http,
            http.get("http://localhost/live") as answer,
        ):
            assert answer.status == 200
    finally:
        await server.close()


async def test_a_path_no_socket_can_have_is_refused_with_a_sentence(house, tmp_path):
    with pytest.raises(BadRequestError, match="longer than 100 bytes"):
        await AdminServer(house.control).start_socket(tmp_path / ("x" * 100))


async def test_health(house):
    assert await house.ask("GET", "/live") == (200, {"live": True})
    assert await house.ask("GET", "/ready") == (200, {"ready": True, "reasons": []})
    house.control.ready = Readiness(ready=False, reasons=("door shut: disk",))
    assert await house.ask("GET", "/ready") == (503, {"ready": False, "reasons": ["door shut: disk"]})
    assert await house.ask("GET", "/live") == (200, {"live": True})


async def test_the_port_answers_health_and_whoever_has_a_token(house):
    await house.server.start_port("127.0.0.1", 0)
    base = f"http://127.0.0.1:{house.server.port}"
    async with aiohttp.ClientSession() as http:
        found = {}
        for path in ("/live", "/ready", "/metrics", "/v1/status", "/v1/messages", "/v1/budget", "/v1/route", "/"):
            async with http.get(base + path) as answer:
                found[path] = answer.status
        async with http.post(base + "/v1/queue/delete", json={"all": True}) as answer:
            found["delete"] = answer.status
    assert {path for path, status in found.items() if status == 200} == {"/live", "/ready", "/metrics"}
    assert {path: status for path, status in found.items() if status not in (200, 401)} == {"/": 404}


async def test_status_counts_what_waits(house):
    await house.put(to=("a@example.com", "b@example.com"))
    status, seen = await house.ask("GET", "/v1/status")
    assert status == 200
    assert seen["by_state"]["queued"] == 2
    assert seen["listeners"] == {"smtp": "127.0.0.1:2525"}


async def test_find_and_show(house):
    first = await house.put(sender="app@contoso.com", to=("bob@example.com",), client="apps")
    second = await house.put(sender="hr@contoso.com", to=("eve@other.org",), client="hr")
    for query, wanted in (
        ("", {first.id, second.id}),
        ("?client=hr", {second.id}),
        ("?recipient=*@example.com", {first.id}),
        ("?sender=hr@contoso.com", {second.id}),
        (f"?ids={first.id},{second.id}", {first.id, second.id}),
        ("?states=held", set()),
        (f"?since_ms={first.received_ms + 1}", set()),
    ):
        status, views = await house.ask("GET", f"/v1/messages{query}")
        assert (status, {view["message"]["id"] for view in views}) == (200, wanted), query
    status, view = await house.ask("GET", f"/v1/messages/{first.id}")
    assert status == 200
    assert [line["event"] for line in view["lines"]] == ["accepted"]


async def test_export_gives_the_body_and_an_error_when_it_is_gone(house):
    made = await house.put()
    async with house.http.get(f"http://localhost/v1/messages/{made.id}/body") as answer:
        assert (answer.status, await answer.read()) == (200, BODY)
    start = attempt(made)
    assert await house.control.spool.claim(start)
    await house.control.spool.settle(settlement(start))
    status, answer = await house.ask("GET", f"/v1/messages/{made.id}/body")
    assert status == 409
    assert made.id in answer["error"]


async def test_what_is_not_there_is_404(house):
    for path in ("/v1/messages/none", "/v1/messages/none/body", "/v2", "/v1/messages/a/b/c"):
        status, answer = await house.ask("GET", path)
        assert status == 404, path
        assert answer["error"]
    status, answer = await house.ask("DELETE", "/v1/status")
    assert (status, answer["error"]) == (405, "DELETE /v1/status: Method Not Allowed")


def done(changed):
    return {"changed": changed, "more": False, "by_node": {"n1": changed} if changed else {}, "missing": {}}


async def test_hold_release_delete(house):
    one, other = await house.put(client="apps"), await house.put(client="hr")
    act = {"filter": {"client": "apps"}, "reason": "wait"}
    assert await house.ask("POST", "/v1/queue/hold", json=act) == (200, done(1))
    assert await house.ask("POST", "/v1/queue/hold", json=act) == (200, done(0))
    view = await house.control.spool.journey(one.id)
    assert view.recipients[0].state is RecipientState.HELD
    assert view.lines[-1].detail["why"] == "wait"
    act = {"filter": {"ids": [one.id]}}
    assert await house.ask("POST", "/v1/queue/release", json=act) == (200, done(1))
    act = {"filter": {"states": ["queued"], "limit": 1}}
    assert await house.ask("POST", "/v1/queue/delete", json=act) == (200, done(1))
    assert await house.ask("POST", "/v1/queue/delete", json={"all": True}) == (200, done(1))
    assert {(await house.control.spool.journey(made.id)).recipients[0].state for made in (one, other)} == {
        RecipientState.DELETED
    }
    assert house.control.woken == 5


async def test_an_action_reaches_everything_the_filter_means_not_only_the_first_thousand(house):
    await asyncio.gather(*(house.put(client="apps") for _ in range(1203)))
    answer = await house.ask("POST", "/v1/queue/hold", json={"filter": {"client": "apps"}})
    assert answer == (200, done(1203))


async def test_the_actor_is_noted(house):
    made = await house.put()
    act = {"filter": {"ids": made.id}, "reason": "why"}
    await house.ask("POST", "/v1/queue/hold", json=act, headers={"X-Relay-Actor": "eve"})
    assert (await house.control.spool.journey(made.id)).lines[-1].detail["actor"] == "eve"


async def test_accounts(house):
    assert (await house.ask("GET", "/v1/accounts"))[1][0]["state"] == "healthy"
    act = {"account": ACCOUNT, "reason": "locked"}
    assert await house.ask("POST", "/v1/accounts/park", json=act, headers={"X-Relay-Actor": "eve"}) == (
        200,
        {"changed": 1},
    )
    assert house.control.parked == {ACCOUNT: ("locked", "eve")}
    assert (await house.ask("GET", "/v1/accounts"))[1][0]["reason"] == "locked"
    assert (await house.ask("POST", "/v1/accounts/resume", json={"account": ACCOUNT}))[0] == 200
    status, answer = await house.ask("POST", "/v1/accounts/park", json={"account": "nobody"})
    assert (status, answer["error"]) == (404, "account: there is no account or scope 'nobody'")


async def test_budget_clients_metrics(house):
    assert (await house.ask("GET", "/v1/budget"))[1][0]["used"] == 3
    assert (await house.ask("GET", "/v1/clients"))[1][0]["weaknesses"] == {"old_tls": 2}
    async with house.http.get("http://localhost/metrics") as answer:
        assert (answer.content_type, await answer.read()) == ("text/plain", b"# HELP relay_x x\n")


async def test_route(house):
    status, answer = await house.ask("GET", "/v1/route?sender=a@contoso.com&recipient=b@example.com&client=apps")
    assert (status, answer["decision"], answer["why"]) == (200, "take", f"submission:{ACCOUNT}")
    status, answer = await house.ask("GET", "/v1/route?sender=a@other.org&recipient=b@example.com&client=apps")
    assert (status, answer["decision"]) == (200, "refuse")


async def test_erase(house):
    made = await house.put(to=("bob@example.com",))
    start = attempt(made)
    assert await house.control.spool.claim(start)
    await house.control.spool.settle(settlement(start))
    assert await house.ask("POST", "/v1/erase", json={"address": "bob@example.com"}) == (200, {"changed": 1})
    _, view = await house.ask("GET", f"/v1/messages/{made.id}")
    assert "bob@example.com" not in json.dumps(view)


async def test_the_queues_of_all_are_those_of_this_node_when_it_is_alone(house):
    made = await house.put()
    for here in ("", "?here=true"):
        status, found = await house.ask("GET", f"/v1/everywhere/messages{here}")
        assert (status, found["missing"]) == (200, {})
        (one,) = found["messages"]
        assert (one["message"]["id"], one["node"], one["place"], one["protected"]) == (made.id, "n1", "spool", None)
        status, found = await house.ask("GET", f"/v1/everywhere/messages/{made.id}{here}")
        assert [line["event"] for line in found["messages"][0]["lines"]] == ["accepted"]
    assert await house.ask("GET", "/v1/everywhere/messages/none") == (200, {"messages": [], "missing": {}})
    act = {"filter": {"ids": made.id}}
    assert await house.ask("POST", "/v1/everywhere/queue/hold", json=act) == (200, done(1))


async def test_a_quarantined_spool_is_released_with_a_reason_and_no_other(house):
    status, answer = await house.ask("POST", "/v1/disaster/release-spool", json={"reason": "x"})
    assert (status, answer["error"]) == (409, "this node's spool is not quarantined")
    house.control.quarantined = True
    assert (await house.ask("POST", "/v1/disaster/release-spool", json={}))[0] == 400
    assert house.control.quarantined
    status, answer = await house.ask("POST", "/v1/disaster/release-spool", json={"reason": "x"})
    assert (status, answer, house.control.quarantined) == (200, {"released": True}, False)


# -- what it refuses

BAD_QUERIES = [
    ("/v1/messages?colour=red", "'colour'"),
    ("/v1/messages?limit=ten", "limit"),
    ("/v1/messages?limit=0", "limit"),
    ("/v1/messages?limit=10001", "limit"),
    ("/v1/messages?limit=-1", "limit"),
    ("/v1/messages?limit=%D9%A3", "limit"),
    ("/v1/messages?since_ms=1e3", "since_ms"),
    ("/v1/messages?until_ms=9999999999999999", "until_ms"),
    ("/v1/messages?states=queued,lost", "states"),
    ("/v1/messages?client=a&client=b", "client: given twice"),
    ("/v1/messages?sender=" + "x" * 513, "sender"),
    ("/v1/messages?ids=" + ",".join(["a"] * 1001), "ids"),
    ("/v1/everywhere/messages?here=yes", "here"),
    ("/v1/everywhere/messages?limit=0", "limit"),
    ("/v1/everywhere/messages?colour=red", "'colour'"),
    ("/v1/everywhere/messages/x?limit=1", "'limit'"),
    ("/v1/status?verbose=1", "'verbose'"),
    ("/v1/accounts?x=1", "'x'"),
    ("/v1/budget?x=1", "'x'"),
    ("/v1/clients?x=1", "'x'"),
    ("/v1/route?sender=a@contoso.com", "recipient"),
    ("/v1/route?sender=a@contoso.com&recipient=b%20c@example.com", "recipient"),
    ("/v1/route?sender=a%0D%0Ab@contoso.com&recipient=b@example.com", "sender"),
    ("/v1/route?sender=a@contoso.com&recipient=b@example.com&size=12MiB", "size"),
    ("/v1/route?sender=a@contoso.com&recipient=b@example.com&client=nobody", "client"),
    ("/v1/route?sender=a@contoso.com&recipient=b@example.com&plan=none", "plan"),
    ("/v1/route?sender=a@contoso.com&recipient=b@example.com&ip=here", "ip"),
    ("/v1/route?sender=a@contoso.com&recipient=b@example.com&way=none", "'way'"),
]
BAD_BODIES = [
    ("/v1/queue/hold", b"no json", "body"),
    ("/v1/queue/hold", b"\xff\xfe", "body"),
    ("/v1/queue/hold", b"[]", "body"),
    ("/v1/queue/hold", b"[" * 60_000, "body"),
    ("/v1/queue/hold", b"", "filter"),
    ("/v1/queue/hold", b"{}", "filter"),
    ("/v1/queue/hold", b'{"filter": {}}', "filter"),
    ("/v1/queue/hold", b'{"filter": {"limit": 5}}', "filter"),
    ("/v1/queue/hold", b'{"filter": {}, "all": "yes"}', "all"),
    ("/v1/queue/hold", b'{"filter": {}, "all": 1}', "all"),
    ("/v1/queue/hold", b'{"filter": []}', "filter"),
    ("/v1/queue/hold", b'{"filter": {"colour": "red"}}', "'colour'"),
    ("/v1/queue/hold", b'{"filter": {"client": ["a"]}}', "client"),
    ("/v1/queue/hold", b'{"filter": {"ids": [1]}}', "ids"),
    ("/v1/queue/hold", b'{"filter": {"client": true}}', "client"),
    ("/v1/queue/hold", b'{"filter": {"limit": -1}}', "limit"),
    ("/v1/queue/hold", b'{"filter": {"states": "lost"}}', "states"),
    ("/v1/queue/hold", b'{"filter": {"client": "a"}, "force": true}', "'force'"),
    ("/v1/queue/hold", b'{"filter": {"client": "a"}, "reason": 5}', "reason"),
    ("/v1/queue/hold", b'{"filter": {"client": "a"}, "reason": "' + b"x" * 513 + b'"}', "reason"),
    ("/v1/queue/hold?all=true", b'{"filter": {"client": "a"}}', "'all'"),
    ("/v1/queue/burn", b'{"all": true}', "action"),
    ("/v1/everywhere/queue/burn", b'{"all": true}', "action"),
    ("/v1/everywhere/queue/hold", b'{"filter": {}}', "filter"),
    ("/v1/disaster/release-spool", b'{"reason": ""}', "reason"),
    ("/v1/disaster/release-spool", b'{"reason": "x", "node": "relay-a"}', "'node'"),
    ("/v1/accounts/burn", b'{"account": "a"}', "action"),
    ("/v1/accounts/park", b"{}", "account"),
    ("/v1/accounts/park", b'{"account": 7}', "account"),
    ("/v1/accounts/park", b'{"account": "a", "until": 5}', "'until'"),
    ("/v1/erase", b"{}", "address"),
    ("/v1/erase", b'{"address": "bob"}', "address"),
    ("/v1/erase", b'{"address": "@"}', "address"),
    ("/v1/erase", b'{"address": "a@b", "all": true}', "'all'"),
]


@pytest.mark.parametrize(("path", "named"), BAD_QUERIES)
async def test_a_bad_query_is_refused_by_name(house, path, named):
    status, answer = await house.ask("GET", path)
    assert status == 400
    assert named in answer["error"]


@pytest.mark.parametrize(("path", "body", "named"), BAD_BODIES)
async def test_a_bad_body_is_refused_by_name_and_changes_nothing(house, path, body, named):
    made = await house.put(client="a")
    status, answer = await house.ask("POST", path, data=body)
    assert status == 400
    assert named in answer["error"]
    assert (await house.control.spool.journey(made.id)).recipients[0].state is RecipientState.QUEUED
    assert house.control.parked == {}


async def test_a_huge_body_is_refused_before_it_is_read(house):
    body = json.dumps({"filter": {"client": "a"}, "reason": "x" * BODY_MAX_BYTES}).encode()
    status, answer = await house.ask("POST", "/v1/queue/hold", data=body)
    assert (status, answer["error"]) == (413, f"body: more than {BODY_MAX_BYTES} bytes")


async def test_rubbish_on_the_socket_ends_that_connection_only(house):
    reader, writer = await asyncio.open_unix_connection(str(house.socket))
    writer.write(b"\x16\x03\x01\x00 rubbish\r\n\r\n")
    assert b"400" in await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    assert (await house.ask("GET", "/live"))[0] == 200
