"""Mail put off until something changes: what a new configuration may end is due again, everything else waits on."""

from types import SimpleNamespace

import pytest

from node.app.again import RELEASE_BATCH, Again
from node.delivery.clock import wall_ms
from node.policy.envelope import RecipientState
from node.policy.health import HealthBook
from node.spool.contract import Accepted
from node.spool.errors import SpoolBroken
from node.spool.memory import MemorySpool
from tests.support.delivery_room import BODY, message

HOUR_MS = 3_600_000
S = RecipientState


class Node:
    """What ``Again`` sees of a node: a spool with mail put off for one reason each, and its standings."""

    def __init__(self, tmp_path):
        self.spool, self.health = MemorySpool(tmp_path, now_ms=wall_ms), HealthBook("dc1")
        self.woken = []
        self.control = SimpleNamespace(wake=lambda: self.woken.append(True))
        self.again = Again(self)

    async def put_off(self, reason, *, count=1):
        made = [message() for _ in range(count)]
        for one in made:
            await self.spool.append(Accepted(message=one, body=BODY))
            await self.spool.postpone(one.id, (0,), wall_ms() + HOUR_MS, reason)
        return made[0].id

    async def configured(self):
        self.again.configured()
        await self.again.catch_up()

    async def due(self, message_id):
        view = await self.spool.journey(message_id)
        return view.recipients[0].next_attempt_ms <= wall_ms()


@pytest.fixture
async def node(tmp_path):
    made = Node(tmp_path)
    await made.spool.open(wall_ms())
    return made


@pytest.mark.parametrize("reason", ["sender_not_allowed", "path_not_set_up", "outside_tenant", "day_budget"])
async def test_what_waits_for_another_configuration_is_due(node, reason):
    waiting, slow = await node.put_off(reason), await node.put_off("greylisted")
    await node.configured()
    assert await node.due(waiting)
    assert not await node.due(slow)


async def test_what_every_account_refuses_to_carry_may_find_a_new_account(node):
    node.health.park("pair/contoso/relay1@contoso.com|app@contoso.com", wall_ms(), reason="send_as_denied", by="relay")
    node.health.park("path/contoso/submission", wall_ms(), reason="path_broken", by="relay")
    refused, broken = await node.put_off("send_as_denied"), await node.put_off("path_broken")
    await node.configured()
    assert await node.due(refused)
    assert not await node.due(broken)


async def test_all_of_more_than_a_batch(node):
    await node.put_off("outside_tenant", count=RELEASE_BATCH + 1)
    await node.configured()
    assert len(node.woken) == 2
    assert (await node.spool.count()).by_state == {"queued": RELEASE_BATCH + 1}


async def test_mail_put_off_anew_meanwhile_keeps_nobody_busy(node):
    message_id = await node.put_off("outside_tenant")
    release, asked = node.spool.release, []

    async def put_off_anew(which, actor, why, now_ms):
        asked.append(which.reason)
        assert len(asked) < 100
        changed = await release(which, actor, why, now_ms)
        if changed:
            await node.spool.postpone(message_id, (0,), wall_ms() + HOUR_MS, "outside_tenant")
        return changed

    node.spool.release = put_off_anew
    await node.configured()
    assert asked.count("outside_tenant") == 1


async def test_a_spool_that_does_not_answer_is_asked_again(node, monkeypatch):
    monkeypatch.setattr("node.app.again.REPEAT_S", 0.01)
    message_id = await node.put_off("outside_tenant")
    page, failed = node.spool.page, []

    async def fail_once(which, before=None):
        if which.reason == "outside_tenant" and not failed:
            failed.append(True)
            raise SpoolBroken("busy")
        return await page(which, before)

    node.spool.page = fail_once
    await node.configured()
    assert failed
    assert await node.due(message_id)
