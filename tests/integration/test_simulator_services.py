"""High Volume Email and Azure Communication Services as the simulator plays them; errors that throttle a mailbox."""

import contextlib
import time

import pytest

from node.rehearsal.simulator.directory import CLIENT, TENANT, read_directory
from node.rehearsal.simulator.server import Simulator
from tests.support.dialogue import MESSAGE, Dialogue, bearer, blob

HVE = "hve1@contoso.com"
ACS = f"resource|{CLIENT}|{TENANT}"
IN = "carol@contoso.com"


def message(sender):
    return MESSAGE.replace("app@contoso.com", sender)


def directory(**tenant):
    spec = {
        "domains": ["contoso.com"],
        "apps": {CLIENT: {"secrets": ["s"], "expired_secrets": ["old"]}, "other": {"secrets": ["s"]}},
        "mailboxes": {"relay1@contoso.com": {"send_as": ["*@contoso.com"]}},
        "hve": {HVE: {"send_as": ["news@contoso.com"], "apps": [CLIENT], "password": "p"}},
        "acs": {"resource": {"senders": ["donotreply@contoso.com"], "users": {"smtp@contoso.com": CLIENT}}},
        **{name: value for name, value in tenant.items() if name != "limits"},
    }
    plain = {"tenants": {TENANT: spec}, "limits": tenant.get("limits", {}), "timing": {"tarpit": "0s"}}
    return read_directory(plain, "test")


@contextlib.asynccontextmanager
async def talking(service, **tenant):
    async with Simulator(directory(**tenant)) as simulator, Dialogue(simulator, service) as dialogue:
        await dialogue.secure()
        yield dialogue


# -- High Volume Email


async def test_hve_takes_its_own_accounts_with_tokens_that_last():
    async with talking("hve") as dialogue:
        assert await dialogue.log_in(HVE) == "235 2.7.0 Authentication successful"
        for sender in (HVE, "news@contoso.com"):
            assert (await dialogue.send(sender, [IN], message(sender))).startswith("250 2.0.0 OK")
        taken = dialogue.simulator.hub.receipts.latest[0]
        assert (taken.service, taken.account) == ("hve", HVE)
        assert dialogue.simulator.hub.stats()["violations"]["total"] == 0


@pytest.mark.parametrize(
    ("account", "token", "answer"),
    [
        (HVE, {"life_s": 599}, "501 5.5.127 Invalid XOAUTH2 auth data - Token will expire soon"),
        (HVE, {"life_s": 610}, "235 2.7.0"),
        (HVE, {"appid": "other"}, "535 5.7.3"),
        (HVE, {"life_s": -1}, "535 5.7.3"),
        ("relay1@contoso.com", {}, "535 5.7.3"),
        ("nobody@contoso.com", {}, "535 5.7.3"),
    ],
)
async def test_hve_logins(account, token, answer):
    async with talking("hve") as dialogue:
        assert (await dialogue.log_in(account, bearer(dialogue.simulator, **token))).startswith(answer)


async def test_hve_knows_a_malformed_blob_and_passwords():
    async with talking("hve") as dialogue:
        bad = blob(HVE, "x").replace("auth", "")
        assert (await dialogue.say(f"AUTH XOAUTH2 {bad[:12]}==")).startswith("501 5.5.124")
        assert (await dialogue.password(HVE, "wrong")).startswith("535 5.7.139")
        assert (await dialogue.password(HVE, "p")).startswith("235")


async def test_hve_forbidden_by_the_organization():
    async with talking("hve", hve_allowed=False) as dialogue:
        said = "the organization configuration doesn't allow this authentication request"
        assert said in await dialogue.log_in(HVE)


async def test_hve_is_for_insiders_fifty_at_a_time_from_its_own_addresses():
    async with talking("hve") as dialogue:
        await dialogue.log_in(HVE)
        assert (await dialogue.send(HVE, ["bob@example.com"])).startswith("550 5.7.1 Unable to relay")
        await dialogue.say("RSET")
        many = [f"r{number}@contoso.com" for number in range(51)]
        assert (await dialogue.send(HVE, many)).startswith("452 4.5.3")
        await dialogue.say("RSET")
        assert (await dialogue.send("app@contoso.com", [IN])).startswith("550 5.7.60")
        assert (await dialogue.send(HVE, [IN], message("app@contoso.com"))).startswith("554 5.2.252 SendAsDenied")
        assert dialogue.simulator.hub.stats()["violations"] == {
            "hve_external": 1, "recipients_per_message": 1, "rate": 0, "recipients": 0, "sessions": 0, "total": 2,
        }  # fmt: skip


async def test_an_hve_account_is_no_mailbox():
    async with talking("submission") as dialogue:
        assert (await dialogue.log_in(HVE)).startswith("535 5.7.3")


# -- Azure Communication Services


@pytest.mark.parametrize(
    ("user", "password", "answer"),
    [
        (ACS, "s", "235"),
        ("smtp@contoso.com", "s", "235"),
        (ACS, "old", "535 5.7.3"),
        (ACS, "x", "535 5.7.3"),
        (f"other|{CLIENT}|{TENANT}", "s", "535 5.7.3"),
        (f"resource|{CLIENT}|elsewhere", "s", "535 5.7.3"),
        (f"resource|nobody|{TENANT}", "s", "535 5.7.3"),
        ("resource", "s", "535 5.7.3"),
    ],
)
async def test_acs_user_names(user, password, answer):
    async with talking("acs") as dialogue:
        assert (await dialogue.password(user, password)).startswith(answer)


async def test_acs_senders_sizes_and_recipients():
    async with talking("acs") as dialogue:
        assert "SIZE 10000000" in await dialogue.say("EHLO x")
        await dialogue.password(ACS, "s")
        own = "donotreply@contoso.com"
        assert (await dialogue.send("app@contoso.com", ["bob@example.com"])).startswith("550 5.7.60")
        assert (await dialogue.say(f"MAIL FROM:<{own}> SIZE=10000001")).startswith("552 5.3.4")
        assert (await dialogue.send(own, ["bob@example.com"], message("app@contoso.com"))).startswith("550 5.7.60")
        assert (await dialogue.send(own, ["bob@example.com"], message(own))).startswith("250")
        assert (await dialogue.send(own, [f"r{number}@x.example" for number in range(51)])).startswith("452 4.5.3")
        assert dialogue.simulator.hub.receipts.latest[0].service == "acs"


async def test_acs_counts_a_minute_and_an_hour():
    acs = {"resource": {"senders": ["*@contoso.com"], "rate": "2/1s", "hourly": "3/h"}}
    async with talking("acs", acs=acs) as dialogue:
        await dialogue.password(ACS, "s")
        answers = [(await dialogue.send(recipients=["b@example.com"]))[:3] for _ in range(3)]
        assert answers == ["250", "250", "450"]
        time.sleep(1.1)  # noqa: ASYNC251 - the window is the service's own, nothing else goes on meanwhile
        answers = [(await dialogue.send(recipients=["b@example.com"]))[:3] for _ in range(2)]
        assert answers == ["250", "450"]
        report = dialogue.simulator.hub.stats()["resources"]["resource"]
        assert report["refused"] == 2
        assert report["violations"] == {"rate": 1, "hourly": 2}


# -- submission


@pytest.mark.parametrize(
    ("state", "first", "then"),
    [
        ("full", "554 5.2.2", "550 5.2.251"),
        ("unlicensed", "554 5.2.0", "550 5.2.253"),
        ("spam", "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException", "554 5.2.0"),
        ("restricted", "550 5.1.8", "550 5.1.8"),
    ],
)
async def test_states_of_a_mailbox_and_what_repeating_them_leads_to(state, first, then):
    box = {"relay1@contoso.com": {"send_as": ["*@contoso.com"], "state": state}}
    async with talking("submission", mailboxes=box, limits={"error_throttle": 2}) as dialogue:
        await dialogue.log_in()
        for _ in range(2):
            assert (await dialogue.send()).startswith(first)
        assert (await dialogue.send()).startswith(then)


async def test_mail_to_nobody_is_taken_and_throttles_in_the_end():
    async with talking("submission", recipients=[IN], limits={"error_throttle": 2}) as dialogue:
        await dialogue.log_in()
        for _ in range(2):
            assert (await dialogue.send(recipients=["nobody@contoso.com"])).startswith("250")
        assert (await dialogue.send(recipients=[IN])).startswith("550 5.2.255")
        assert dialogue.simulator.hub.stats()["messages"]["unknown_recipients"] == 2
