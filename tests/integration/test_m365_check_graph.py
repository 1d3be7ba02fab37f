"""``relayctl m365 check`` of a Graph path: a good set-up, and each broken one with its cause in words."""

import pytest

from node.app.checking import Options
from node.check.contract import Grade
from tests.integration.test_m365_check import DOMAIN, INVOICE, RELAY1, RELAY2, SECRET, bad, cloud_of, findings

ROUTES = {"internal": ["graph"], "external": ["graph"]}
REBUILD = {"plans": {"big": {"rebuild": True}}}
SEND_ONLY = {"scoped_graph": ["Mail.Send"]}


async def check(tmp_path, simulated=None, *, options=None, **changes):
    simulated = simulated or {}
    return await findings(tmp_path, cloud_of(**simulated), options=options, **{"routes": ROUTES, **changes})


def graded(found, what: str) -> set[Grade]:
    return {one.grade for one in found if one.what == what}


async def test_a_good_setup_has_no_fault_and_every_mailbox_was_reached_and_sent_from(tmp_path):
    found, sim = await check(tmp_path, **REBUILD)
    assert bad(found) == []
    assert {one.grade for one in found} <= {Grade.GOOD, Grade.NOTE}
    assert graded(found, "reach the mailbox") == graded(found, "write and delete a draft") == {Grade.GOOD}
    assert graded(found, "rights") == {Grade.GOOD}, "scoped in Exchange, so that the token names no role"
    sent = {(one.account, one.sender) for one in sim.hub.receipts.latest}
    assert sent == {(RELAY1, RELAY1), (RELAY1, INVOICE), (RELAY2, RELAY2), (RELAY2, INVOICE)}
    assert {one.service for one in sim.hub.receipts.latest} == {"graph"}
    assert sim.hub.graph.drafts == {}
    assert sim.hub.violations.total() == 0


async def test_where_nothing_may_be_sent_the_mailbox_is_reached_all_the_same(tmp_path):
    found, sim = await check(tmp_path, options=Options(sends=False))
    assert sim.hub.receipts.accepted == 0
    assert graded(found, "reach the mailbox") == {Grade.GOOD}
    assert graded(found, "write and delete a draft") == set(), "no plan lets mail be built anew"


async def test_an_app_that_only_sends_need_not_look(tmp_path):
    found, _ = await check(tmp_path, {"app": SEND_ONLY}, tenant={"ndrs": None})
    assert bad(found) == []
    assert graded(found, "reach the mailbox") == {Grade.NOTE}
    assert graded(found, "send as itself") == {Grade.GOOD}


async def test_an_app_that_may_look_but_not_send(tmp_path):
    found, _ = await check(tmp_path, {"app": {"scoped_graph": ["Mail.Read"]}})
    assert graded(found, "reach the mailbox") == {Grade.GOOD}
    assert graded(found, "send as itself") == {Grade.BAD}
    assert any("may not use this mailbox by Graph" in fault for fault in bad(found))


@pytest.mark.parametrize("role", ["Mail.Send", "Mail.ReadWrite", "Mail.Read"])
async def test_a_role_that_reaches_the_whole_tenant_is_named(tmp_path, role):
    found, _ = await check(tmp_path, {"app": {"graph": [role, "Domain.Read.All"]}})
    (fault,) = bad(found)
    assert role in fault
    assert [one.advice for one in found if one.grade is Grade.BAD] == [
        "take the permission away in Entra (API permissions), and assign the role in Exchange on a group"
    ]


EXCHANGE = "https://outlook.office365.com/.default"
MISSPELT = {"service_accounts": {f"realy1@{DOMAIN}": {}, RELAY2: {}}}
BROKEN = {
    "nothing granted": ({"app": {"scoped_graph": []}}, {}, "may not use this mailbox by Graph"),
    "not in the group": ({"app": {"mailboxes": [RELAY2, INVOICE]}}, {}, "may not use this mailbox by Graph"),
    "no drafts": ({"app": {"scoped_graph": ["Mail.Send", "Mail.Read"]}}, REBUILD, "may not write drafts"),
    "no right to look, and verify": (
        {"app": SEND_ONLY}, {"plans": {"v": {"on_unknown": "verify"}}, "tenant": {"ndrs": None}}, "reach the mailbox",
    ),
    "misspelt": ({}, {"tenant": MISSPELT}, "there is no such mailbox"),
    "not in the cloud": ({"relay1": {"graph": False}}, {}, "there is no such mailbox"),
    "no SendAs": ({"relay1": {"send_as": []}}, {}, "may not use this From"),
    "full": ({"relay1": {"state": "full"}}, {}, "the mailbox is full"),
    "scope of Exchange": ({}, {"cloud": {"graph_scope": EXCHANGE}}, "Graph refuses the token"),
    "wrong secret": ({}, {"secret": "another"}, "entra_secret_wrong"),
    "nobody there": ({}, {"cloud": {"graph": "https://localhost:1"}}, "no connection"),
    "authority not trusted": ({}, {"egress": {}}, "not trusted"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_setup_names_its_cause(tmp_path, name):
    simulated, changes, words = BROKEN[name]
    found, _ = await check(tmp_path, simulated, **changes)
    faults = bad(found)
    assert any(words in fault for fault in faults), faults
    for one in found:
        assert SECRET not in f"{one}", "no secret is shown"
        assert "eyJ" not in f"{one}", "no token is shown"
