"""What cannot be taken back waits for a second person, over a real port and the real socket."""

import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from node.admin import seconding
from node.admin.access import Role, Token
from node.admin.seconding import Seconding
from node.audit import Audit, files_in, lines_of
from node.policy.passwords import token_digest
from tests.support.admin_house import admin_house

FAR = 4_000_000_000_000
PEOPLE = {"alice": Role.ADMIN, "bob": Role.ADMIN, "carl": Role.OPERATOR, "vera": Role.VIEWER}
TOKENS = [
    Token(name=name, digest=token_digest(f"token-of-{name}"), role=role, until_ms=FAR) for name, role in PEOPLE.items()
]
KINDS = ("delete", "disaster", "erase")
NOW = 1_800_000_000_000


class Clock:
    now_ms = NOW

    def __call__(self) -> int:
        return self.now_ms


@asynccontextmanager
async def opened(tmp_path, kinds=KINDS, clock=None):
    waits = Seconding(tmp_path / "kept" / "approvals.json", kinds, 3600.0, clock or Clock())
    async with admin_house(tmp_path, tokens=TOKENS, audit=Audit(tmp_path / "audit", "n1"), seconding=waits) as house:
        await house.server.start_port("127.0.0.1", 0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{house.server.port}") as http:

            async def say(who: str, method: str, path: str, **body):
                sent = {"json": body} if method == "POST" else {}
                headers = {"Authorization": f"Bearer token-of-{who}"}
                async with http.request(method, path, headers=headers, **sent) as answer:
                    return answer.status, await answer.json()

            yield house, say


async def waiting(say) -> list[dict]:
    status, found = await say("vera", "GET", "/v1/approvals")
    assert status == 200
    return found


async def states(house) -> dict[str, int]:
    return {name: number for name, number in (await house.control.spool.count()).by_state.items() if number}


def audited(tmp_path) -> list[tuple]:
    entries = [json.loads(line) for _, line in lines_of(files_in(tmp_path / "audit"))]
    return [(one["actor"], one["event"], one["facts"].get("asked_by")) for one in entries]


async def test_mail_is_deleted_when_another_person_approves_and_not_before(tmp_path):
    async with opened(tmp_path) as (house, say):
        made = await house.put()
        ask = {"filter": {"ids": [made.id]}, "reason": "spam"}
        status, answer = await say("carl", "POST", "/v1/everywhere/queue/delete", **ask)
        assert (status, "nothing is done yet" in answer["error"]) == (409, True)
        assert await states(house) == {"queued": 1}
        (one,) = await waiting(say)
        assert (one["kind"], one["actor"], one["asks"]) == ("delete", "carl", {**ask, "action": "delete"})
        assert one["id"] in answer["error"]
        place = f"/v1/approvals/{one['id']}/yes"
        for who, status in (("carl", 403), ("vera", 403)):
            assert (await say(who, "POST", place))[0] == status
        asked_by_name = await house.ask("POST", place, json={}, headers={"X-Relay-Actor": "bob"})
        assert (asked_by_name[0], "must show a token" in asked_by_name[1]["error"]) == (403, True)
        assert await states(house) == {"queued": 1}
        status, answer = await say("bob", "POST", place, reason="seen")
        assert (status, answer["changed"]) == (200, 1)
        assert await states(house) == {"deleted": 1}
        assert await waiting(say) == []
        assert (await say("bob", "POST", place))[0] == 404, "once"
    assert audited(tmp_path) == [
        ("carl", "asked for what a second person must approve", None),
        ("bob", "approved what somebody asked for", "carl"),
        ("bob", "queue changed", "carl"),
    ]


async def test_a_token_shown_on_the_socket_proves_who_approves(tmp_path):
    async with opened(tmp_path) as (house, say):
        made = await house.put()
        await house.ask(
            "POST", "/v1/queue/delete", json={"filter": {"ids": [made.id]}}, headers={"X-Relay-Actor": "root"}
        )
        (one,) = await waiting(say)
        shown = {"X-Relay-Actor": "root", "Authorization": "Bearer token-of-alice"}
        status, _ = await house.ask("POST", f"/v1/approvals/{one['id']}/yes", json={}, headers=shown)
        assert (status, await states(house)) == (200, {"deleted": 1})
        wrong = {"Authorization": "Bearer nobody"}
        assert (await house.ask("GET", "/v1/status", headers=wrong))[0] == 401


async def test_refused_is_done_by_nobody(tmp_path):
    async with opened(tmp_path) as (house, say):
        house.control.quarantined = True
        assert (await say("alice", "POST", "/v1/disaster/release-spool", reason="x"))[0] == 409
        (one,) = await waiting(say)
        assert (await say("carl", "POST", f"/v1/approvals/{one['id']}/no"))[0] == 403, "it takes an admin"
        assert (await say("bob", "POST", f"/v1/approvals/{one['id']}/maybe"))[0] == 400
        assert (await say("bob", "POST", f"/v1/approvals/{one['id']}/no", reason="why"))[0] == 200
        assert (house.control.quarantined, await waiting(say)) == (True, [])


async def test_what_nobody_approved_in_time_is_over_and_what_waits_outlives_a_restart(tmp_path):
    clock = Clock()
    async with opened(tmp_path, clock=clock) as (_, say):
        assert (await say("alice", "POST", "/v1/erase", address="ann@x.example"))[0] == 409
    async with opened(tmp_path, clock=clock) as (_, say):
        (one,) = await waiting(say)
        clock.now_ms = NOW + 3_599_999
        assert await waiting(say)
        clock.now_ms = NOW + 3_600_000
        assert await waiting(say) == []
        assert (await say("bob", "POST", f"/v1/approvals/{one['id']}/yes"))[0] == 404
    assert (tmp_path / "kept" / "approvals.json").read_bytes() == b"{}"


async def test_what_waits_is_bounded_and_what_is_wrong_does_not_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(seconding, "PENDING_MAX", 3)
    async with opened(tmp_path) as (_, say):
        assert (await say("alice", "POST", "/v1/erase", addres="x"))[0] == 400
        assert (await say("vera", "POST", "/v1/erase", address="a@b.example"))[0] == 403
        assert await waiting(say) == []
        said = [await say("alice", "POST", "/v1/erase", address="a@b.example") for _ in range(4)]
        assert [status for status, _ in said] == [409, 409, 409, 400]
        assert len(await waiting(say)) == 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/queue/hold", {"filter": {"ids": ["x"]}}),
        ("/v1/wishes", {"kind": "dead", "what": "n2", "on": False, "reason": "back"}),
        ("/v1/wishes", {"kind": "pause", "reason": "work"}),
    ],
)
async def test_what_can_be_taken_back_waits_for_nobody(tmp_path, path, body):
    async with opened(tmp_path) as (_, say):
        _, answer = await say("alice", "POST", path, **body)
        assert "nothing is done yet" not in str(answer)
        assert await waiting(say) == []


async def test_without_the_setting_nothing_waits(tmp_path):
    async with opened(tmp_path, kinds=()) as (house, say):
        made = await house.put()
        status, answer = await say("carl", "POST", "/v1/queue/delete", filter={"ids": [made.id]})
        assert (status, answer["changed"]) == (200, 1)
