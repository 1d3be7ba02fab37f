"""The simulated MX: whose mail it is, by which right it comes, whom it may go to, and what slows a client down."""

import contextlib
import time
from pathlib import Path

import pytest
import trustme

from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.simulator.directory import read_directory
from node.rehearsal.simulator.server import Simulator
from tests.support.dialogue import MESSAGE, Dialogue

IN, OUT, FOREIGN = "carol@contoso.com", "bob@example.com", "someone@elsewhere.org"
TENANT = "t1"
BY_NAME = {"connectors": [{"certificate": "*.contoso.com"}]}
BY_ADDRESS = {"connectors": [{"networks": ["127.0.0.0/24"]}]}


def directory(*, mx=None, limits=None, **tenant):
    spec = {"domains": ["contoso.com", "contoso.onmicrosoft.com"], **tenant}
    other = {"domains": ["fabrikam.com"]}
    return read_directory(
        {
            "tenants": {TENANT: spec, "t2": other},
            "mx": mx or {},
            "limits": limits or {},
            "timing": {"tarpit": "0s", "time_scale": 20.0},
        },
        "test",
    )


@contextlib.asynccontextmanager
async def running(chosen, *clients):
    async with Simulator(chosen, clients=clients) as simulator:
        yield simulator


async def tried(simulator, sender, *recipients, certificate: Path | None = None, message=MESSAGE):
    async with Dialogue(simulator, "mx", certificate) as dialogue:
        await dialogue.secure()
        return await dialogue.send(sender, recipients, message)


async def test_greets_as_an_mx_and_offers_no_login():
    async with running(directory()) as simulator, Dialogue(simulator, "mx") as dialogue:
        assert "mail.protection.outlook.com Microsoft ESMTP MAIL Service" in dialogue.banner
        offered = await dialogue.secure()
        assert "AUTH" not in offered
        assert (await dialogue.say("AUTH LOGIN")).startswith("504 5.7.4")


@pytest.mark.parametrize("sender", ["app@contoso.com", "", FOREIGN])
async def test_the_right_certificate_opens_everything(sender):
    async with running(directory(**BY_NAME), "relay.contoso.com") as simulator:
        shown = simulator.authority.clients["relay.contoso.com"]
        answer = await tried(simulator, sender, IN, OUT, certificate=shown)
        assert answer.startswith("250 2.6.0 <m1@app> [InternalId=1, Hostname=")
        assert answer.endswith("Queued mail for delivery")
        assert simulator.hub.stats()["attributions"] == {"connector": 1}
        assert simulator.hub.receipts.latest[0].tenant == TENANT


@pytest.mark.parametrize(
    ("sender", "recipient", "answer"),
    [
        ("app@contoso.com", OUT, "250 2.6.0"),
        ("app@contoso.com", IN, "250 2.6.0"),
        ("", IN, "250 2.6.0"),
        ("", OUT, "550 5.4.1 Relay Access Denied"),
        (FOREIGN, IN, "250 2.6.0"),
        (FOREIGN, OUT, "550 5.4.1 Relay Access Denied"),
    ],
)
async def test_an_address_opens_only_for_senders_of_the_tenant(sender, recipient, answer):
    async with running(directory(**BY_ADDRESS)) as simulator:
        assert (await tried(simulator, sender, recipient)).startswith(answer)


@pytest.mark.parametrize(
    ("sender", "recipient", "answer", "attribution"),
    [
        ("app@contoso.com", IN, "250 2.6.0", "direct-send"),
        ("app@contoso.com", OUT, "550 5.7.64 TenantAttribution; Relay Access Denied ATTR36", "refused relay"),
        (FOREIGN, IN, "250 2.6.0", "internet"),
        ("", IN, "250 2.6.0", "internet"),
        (FOREIGN, OUT, "550 5.4.1 Relay Access Denied", "refused not_ours"),
    ],
)
async def test_what_matches_no_connector_goes_on_inside_and_is_refused_outside(sender, recipient, answer, attribution):
    async with running(directory(**BY_NAME)) as simulator:
        assert (await tried(simulator, sender, recipient)).startswith(answer)
        assert simulator.hub.stats()["attributions"] == {attribution: 1}


async def test_a_certificate_of_an_authority_nobody_trusts_matches_nothing(tmp_path):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = ca.issue_cert("relay.contoso.com").private_key_and_cert_chain_pem
    issued.write_to_path(tmp_path / "own.pem")
    async with running(directory(**BY_NAME, mx={"untrusted": [str(tmp_path / "ca.pem")]})) as simulator:
        assert (await tried(simulator, "app@contoso.com", OUT, certificate=tmp_path / "own.pem")).startswith(
            "550 5.7.64"
        )
        assert (await tried(simulator, "app@contoso.com", IN, certificate=tmp_path / "own.pem")).startswith("250")
        assert simulator.hub.stats()["attributions"] == {"refused relay": 1, "direct-send": 1}


async def test_a_certificate_of_another_name_or_tenant_is_no_key():
    chosen = directory(connectors=[{"certificate": "relay.contoso.com"}])
    async with running(chosen, "other.contoso.com", "relay.fabrikam.com") as simulator:
        for name in ("other.contoso.com", "relay.fabrikam.com"):
            answer = await tried(simulator, "app@contoso.com", OUT, certificate=simulator.authority.clients[name])
            assert answer.startswith("550 5.7.64")


async def test_a_connector_switched_off_does_not_match():
    async with running(directory(connectors=[{"networks": ["127.0.0.0/24"], "enabled": False}])) as simulator:
        assert (await tried(simulator, "app@contoso.com", OUT)).startswith("550 5.7.64")


@pytest.mark.parametrize("where", ["mail", "data"])
async def test_reject_direct_send(where):
    async with running(directory(reject_direct_send=where)) as simulator, Dialogue(simulator, "mx") as dialogue:
        await dialogue.secure()
        answer = await dialogue.say("MAIL FROM:<app@contoso.com>")
        if where == "data":
            assert answer.startswith("250")
            assert (await dialogue.say(f"RCPT TO:<{IN}>")).startswith("250")
            assert (await dialogue.say("DATA")).startswith("354")
            answer = await dialogue.say(MESSAGE + ".")
        assert answer.startswith("550 5.7.68 TenantInboundAttribution; Direct Send not allowed")
        assert (await tried(simulator, FOREIGN, IN)).startswith("250")


async def test_recipients_that_are_not_there_or_take_insiders_only():
    chosen = directory(recipients=["carol@contoso.com", "group@contoso.com"], inside_only=["group@contoso.com"])
    async with running(chosen) as simulator:
        assert (await tried(simulator, "app@contoso.com", "nobody@contoso.com")).startswith(
            "550 5.4.1 Recipient address rejected: Access denied."
        )
        assert (await tried(simulator, "app@contoso.com", "group@contoso.com")).startswith("550 5.7.133")
        assert (await tried(simulator, "app@contoso.com", IN)).startswith("250")
    trusted = {"connectors": [{"networks": ["127.0.0.0/24"], "internal": True}], "inside_only": ["*@contoso.com"]}
    async with running(directory(**trusted)) as simulator:
        assert (await tried(simulator, "app@contoso.com", IN)).startswith("250")


async def test_two_hundred_recipients_of_a_domain():
    async with running(directory(**BY_ADDRESS, mx={"recipients_per_domain": 2})) as simulator:
        many = [f"r{number}@example.com" for number in range(3)]
        assert (await tried(simulator, "app@contoso.com", *many)).startswith("452 4.5.3 Too many recipients")
        assert (await tried(simulator, "app@contoso.com", *many[:2], "x@other.example")).startswith("250")
        assert simulator.hub.stats()["violations"]["recipients_per_message"] == 1


async def test_external_mail_by_a_connector_counts_against_the_tenant():
    async with running(directory(**BY_ADDRESS, external_limit="2/24h")) as simulator:
        assert (await tried(simulator, "app@contoso.com", OUT, "x@example.com")).startswith("250")
        assert (await tried(simulator, "app@contoso.com", OUT)).startswith("550 5.7.233")
        assert (await tried(simulator, "app@contoso.com", IN)).startswith("250")
        assert simulator.hub.stats()["tenants"][TENANT]["refused"] == 1


async def test_trial_tenants_and_onmicrosoft_senders_have_limits_of_their_own():
    trial = directory(**BY_ADDRESS, external_limit="1/24h", trial=True)
    async with running(trial) as simulator:
        assert (await tried(simulator, "app@contoso.com", OUT)).startswith("250")
        assert (await tried(simulator, "app@contoso.com", OUT)).startswith("550 5.7.232")
    async with running(directory(**BY_ADDRESS, onmicrosoft_limit="1/24h")) as simulator:
        for answer in ("250", "550 5.7.236"):
            assert (await tried(simulator, "app@contoso.onmicrosoft.com", OUT)).startswith(answer)
        assert (await tried(simulator, "app@contoso.com", OUT)).startswith("250")


async def test_an_address_that_sends_too_much_is_told_so_unless_a_connector_knows_it():
    busy = {"source_rate": "1/min"}
    async with running(directory(mx=busy)) as simulator:
        assert (await tried(simulator, FOREIGN, IN)).startswith("250")
        assert (await tried(simulator, FOREIGN, IN)).startswith(
            "451 4.7.500 Server busy. Please try again later from [127"
        )
        assert simulator.hub.stats()["sources"]["127.0.0.1"] == {"messages": 1, "refused": 1}
    async with running(directory(**BY_ADDRESS, mx=busy)) as simulator:
        for _ in range(3):
            assert (await tried(simulator, "app@contoso.com", OUT)).startswith("250")
    async with running(directory(**BY_ADDRESS, mx={**busy, "spares_connectors": False})) as simulator:
        assert (await tried(simulator, "app@contoso.com", OUT)).startswith("250")
        assert (await tried(simulator, "app@contoso.com", OUT)).startswith("451 4.7.500")


async def test_too_many_connections_of_an_address():
    async with running(directory(mx={"source_connections": 1})) as simulator, Dialogue(simulator, "mx") as first:
        await first.secure()
        assert (await tried(simulator, FOREIGN, IN)).startswith("451 4.7.500")
        await first.close()
        assert simulator.hub.source("127.0.0.1").counts["refused"] == 1


async def test_a_tarpit_answers_late_beyond_its_rate():
    async with running(directory(mx={"tarpit_rate": "1/min", "tarpit": "6s"})) as simulator:
        assert (await tried(simulator, FOREIGN, IN)).startswith("250")
        began = time.monotonic()
        assert (await tried(simulator, FOREIGN, IN)).startswith("250")
        assert time.monotonic() - began >= 0.6  # twice 6 s, divided by the time scale
        assert simulator.hub.stats()["sources"]["127.0.0.1"]["tarpitted"] == 1


@pytest.mark.parametrize(
    ("connector", "fault"),
    [
        ({}, "known either by certificate or by networks"),
        ({"certificate": "a", "networks": ["10.0.0.0/24"]}, "known either by certificate or by networks"),
        ({"networks": ["10.0.0.0/16"]}, "IPv4 only, /24 to /32"),
        ({"networks": ["fd00::/64"]}, "IPv4 only"),
    ],
)
def test_connectors_as_the_service_allows_them(connector, fault):
    with pytest.raises(RehearsalInputError, match=fault):
        directory(connectors=[connector])
