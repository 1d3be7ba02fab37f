"""``relayctl m365 check`` against the simulator: a good set-up, and each broken one with its cause in words."""

import asyncio
import datetime as dt

import pytest
import trustme

from node.app.checking import Options, checked
from node.check.contract import Grade
from node.rehearsal.simulator.directory import read_directory
from node.rehearsal.simulator.server import Simulator
from node.settings.model import Settings
from tests.support.simulated import CLIENT, DOMAIN, SECRET, TENANT

RELAY1, RELAY2, INVOICE = f"relay1@{DOMAIN}", f"relay2@{DOMAIN}", f"invoice@{DOMAIN}"
FAST = {"time_scale": 200.0}


def cloud_of(**changes) -> dict:
    """The simulated tenant as it should be: an app scoped in Exchange, two mailboxes, SendAs by name."""
    app = {"secrets": [SECRET], "permission": False, "scoped": True, "graph": ["Domain.Read.All"]}
    app |= {"scoped_graph": ["Mail.Read", "Mail.Send", "Mail.ReadWrite"]}
    tenant = {
        "domains": [DOMAIN],
        "apps": {CLIENT: {**app, **changes.pop("app", {})}},
        "mailboxes": {
            RELAY1: {"send_as": [INVOICE], **changes.pop("relay1", {})},
            RELAY2: {"send_as": [INVOICE]},
            INVOICE: {},
        },
        **changes.pop("tenant", {}),
    }
    return {"tenants": {TENANT: tenant}, "timing": FAST, **changes}


def config_of(sim: Simulator, home, **changes) -> dict:
    secret = home / "secret"
    secret.touch(mode=0o600)
    secret.write_text(changes.pop("secret", SECRET))
    cloud = {
        "submission": f"localhost:{sim.ports['submission']}",
        "authority": sim.authority_url,
        "graph": sim.graph_url,
        **changes.pop("cloud", {}),
    }
    app = {"client_id": CLIENT, "secret": {"file": str(secret)}, **changes.pop("app", {})}
    tenant = {
        "id": TENANT,
        "domains": [DOMAIN],
        "app": app,
        "cloud": cloud,
        "service_accounts": {RELAY1: {"send_as": [INVOICE]}, RELAY2: {"send_as": [f"*@{DOMAIN}"]}},
        "ndrs": {"mailboxes": [INVOICE]},
        **changes.pop("tenant", {}),
    }
    return {
        "hostname": "relay.test",
        "tenants": {"contoso": tenant},
        "clients": {"apps": {"networks": ["10.0.0.0/8"], "senders": [INVOICE]}},
        "egress": {"ca": str(sim.ca_file)},
        **changes,
    }


async def findings(tmp_path, simulated: dict, *, options: Options | None = None, **changes):
    async with Simulator(read_directory(simulated, "test")) as sim:
        settings = Settings.model_validate(config_of(sim, tmp_path, **changes))
        async with asyncio.timeout(90):
            found = await checked(settings, "relay.test", options or Options())
        return found, sim


def bad(found) -> list[str]:
    return [f"{one.subject}, {one.what}: {one.text}" for one in found if one.grade is Grade.BAD]


async def test_a_good_setup_has_no_fault_and_every_pair_was_tried(tmp_path):
    found, sim = await findings(tmp_path, cloud_of())
    assert bad(found) == []
    assert {one.grade for one in found} <= {Grade.GOOD, Grade.NOTE}
    sent = {(one.account, one.sender) for one in sim.hub.receipts.latest}
    assert sent == {(RELAY1, RELAY1), (RELAY1, INVOICE), (RELAY2, RELAY2), (RELAY2, INVOICE)}
    assert {tuple(one.recipients) for one in sim.hub.receipts.latest} == {(RELAY1,), (RELAY2,)}, "to themselves"
    assert any(one.subject == "accepted domains" and one.grade is Grade.GOOD for one in found)
    assert sim.hub.violations.total() == 0


async def test_nothing_is_sent_where_nothing_may_be(tmp_path):
    found, sim = await findings(tmp_path, cloud_of(), options=Options(sends=False))
    assert sim.hub.receipts.accepted == 0
    assert [one.grade for one in found if one.what == "send"] == [Grade.NOTE, Grade.NOTE]


BROKEN = {
    "wrong tenant id": ({}, {"tenant": {"id": "11111111-0000-4000-8000-000000000000"}}, "entra_tenant_unknown"),
    "wrong client id": ({}, {"app": {"client_id": "22222222-0000-4000-8000-000000000000"}}, "entra_app_unknown"),
    "wrong secret": ({}, {"secret": "not the secret"}, "entra_secret_wrong"),
    "expired secret": ({"app": {"secrets": [], "expired_secrets": [SECRET]}}, {}, "entra_secret_expired"),
    "no secret file": ({}, {"app": {"secret": {"file": "/nowhere/at/all"}}}, "/nowhere/at/all"),
    "secret over": ({}, {"app": {"secret_until": "2020-01-01"}}, "secret until: over"),
    "scope mistyped": ({}, {"cloud": {"scope": "https://outlook.example/.default"}}, "entra_scope_refused"),
    "scope of Graph": ({}, {"cloud": {"scope": "https://graph.microsoft.com/.default"}}, "the token is for Graph"),
    "no role at all": ({"app": {"scoped": False}}, {}, "entra_scope_refused"),
    "no mailbox granted": ({"app": {"mailboxes": []}}, {}, "no mailbox of this app is let in"),
    "one mailbox not granted": ({"app": {"mailboxes": [RELAY2, INVOICE]}}, {}, "only this mailbox is refused"),
    "one mailbox misspelt": (
        {}, {"tenant": {"service_accounts": {f"realy1@{DOMAIN}": {}, RELAY2: {}}}}, "only this mailbox is refused",
    ),
    "classic without mailbox": (
        {"app": {"permission": True, "scoped": False, "mailboxes": []}}, {}, "permission in Entra, but no mailbox",
    ),
    "SMTP AUTH off for the tenant": ({"tenant": {"smtp_auth": False}}, {}, "SMTP AUTH is off for the tenant"),
    "SMTP AUTH off for the mailbox": ({"relay1": {"smtp_auth": False}}, {}, "switched off for this mailbox"),
    "no SendAs": ({"relay1": {"send_as": []}}, {}, "may not use this"),
    "mailbox full": ({"relay1": {"state": "full"}}, {}, "the mailbox is full"),
    "restricted": ({"relay1": {"state": "restricted"}}, {}, "restricted for sending spam"),
    "grant too young": ({"relay1": {"state": "ungranted"}}, {}, "younger than an hour"),
    "rights over the tenant": ({"app": {"graph": ["Mail.Send", "Mail.ReadWrite"]}}, {}, "send as anybody"),
    "domain not accepted": ({}, {"tenant": {"domains": [DOMAIN, "contoso.invalid"]}}, "contoso.invalid is not"),
    "reports not readable": ({"reports": {"readable": [RELAY1, RELAY2]}}, {}, "the app may not read it"),
    "wrong port": ({}, {"cloud": {"submission": "localhost:1"}}, "no connection"),
    "authority not trusted": ({}, {"egress": {}}, "not trusted"),
}  # fmt: skip


FOLLOWS = (
    "the app gets no token", "Entra cannot be reached", "the app may not read it", "there is no such mailbox",
    "read and change everybody's mail",
)  # fmt: skip
"""What is true besides, because of the same fault."""


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_setup_names_its_cause(tmp_path, name):
    simulated, changes, words = BROKEN[name]
    found, _ = await findings(tmp_path, cloud_of(**simulated), **changes)
    faults = bad(found)
    assert any(words in fault for fault in faults), faults
    assert [fault for fault in faults if words not in fault and not any(one in fault for one in FOLLOWS)] == []
    for one in found:
        assert SECRET not in f"{one}", "no secret is shown"
        assert "eyJ" not in f"{one}", "no token is shown"


async def test_the_classic_consent_works_and_is_doubted(tmp_path):
    found, _ = await findings(tmp_path, cloud_of(app={"permission": True, "scoped": False}))
    assert bad(found) == []
    (doubt,) = [one for one in found if one.grade is Grade.DOUBT]
    assert "SMTP.SendAsApp" in doubt.text


async def test_a_domain_the_configuration_forgot_is_doubted(tmp_path):
    found, _ = await findings(tmp_path, cloud_of(tenant={"domains": [DOMAIN, "contoso.de"]}))
    assert any("contoso.de" in one.text for one in found if one.grade is Grade.DOUBT)


async def test_without_reading_reports_the_truth_is_doubted(tmp_path):
    found, _ = await findings(tmp_path, cloud_of(), tenant={"ndrs": None})
    assert any(one.subject == "reports" for one in found if one.grade is Grade.DOUBT)


async def test_the_domains_need_not_be_shown_to_the_app(tmp_path):
    found, _ = await findings(tmp_path, cloud_of(app={"graph": []}))
    assert bad(found) == []
    assert any(one.subject == "accepted domains" and one.grade is Grade.NOTE for one in found)


# -- a smart host


async def smarthost(tmp_path, host: dict, **part):
    async with Simulator(read_directory({"smarthost": host, "timing": FAST}, "test")) as sim:
        secret = tmp_path / "password"
        secret.touch(mode=0o600)
        secret.write_text("s3cret")
        plain = {
            "tenants": {
                "contoso": {
                    "id": "t.example",
                    "domains": [DOMAIN],
                    "smarthost": {
                        "host": "localhost", "port": sim.ports["smarthost"], "user": "relay",
                        "password": {"file": str(secret)}, **part,
                    },
                }
            },
            "routes": {"internal": ["smarthost"], "external": ["smarthost"]},
            "bounces": {"return_path": f"relay-bounces@{DOMAIN}"},
            "egress": {"ca": str(sim.ca_file)},
        }  # fmt: skip
        return await checked(Settings.model_validate(plain), "relay.test", Options())


async def test_a_smart_host(tmp_path):
    found = await smarthost(tmp_path, {"tls": "required", "users": {"relay": "s3cret"}})
    assert bad(found) == []
    assert any(one.what == "a recipient outside" and one.grade is Grade.GOOD for one in found)
    assert any(one.what == "plus address" and one.grade is Grade.NOTE for one in found)


async def test_a_smart_host_with_another_password(tmp_path):
    (fault,) = bad(await smarthost(tmp_path, {"tls": "required", "users": {"relay": "other"}}))
    assert "user or password is refused" in fault


async def test_a_smart_host_without_starttls(tmp_path):
    (fault,) = bad(await smarthost(tmp_path, {"tls": "none"}))
    assert "no STARTTLS" in fault


# -- a connector


async def connector(tmp_path, simulated: dict, pem: bytes | None, **changes):
    async with Simulator(read_directory(cloud_of(**simulated), "test")) as sim:
        part: dict = {"host": f"localhost:{sim.ports['mx']}"}
        if pem is not None:
            file = tmp_path / "connector.pem"
            file.touch(mode=0o600)
            file.write_bytes(pem)
            part["certificate"] = {"file": str(file)}
        more = {
            "routes": {"internal": ["connector"], "external": ["connector"]},
            "bounces": {"return_path": f"relay-bounces@{DOMAIN}"},
            **changes,
        }
        plain = config_of(sim, tmp_path, **more)
        plain["tenants"]["contoso"] |= {"connector": part, "ndrs": None, "app": None, "service_accounts": {}}
        return await checked(Settings.model_validate(plain), "relay.test", Options())


def certificate(*names: str, **options) -> bytes:
    return trustme.CA().issue_cert(*names, **options).private_key_and_cert_chain_pem.bytes()


BY_ADDRESS = {"tenant": {"connectors": [{"networks": ["127.0.0.1/32"]}], "recipients": [f"*@{DOMAIN}"]}}


async def test_a_connector_known_by_address(tmp_path):
    found = await connector(tmp_path, BY_ADDRESS, None)
    assert bad(found) == []
    assert any(one.what == "plus address" and one.grade is Grade.GOOD for one in found)


async def test_a_connector_that_does_not_match(tmp_path):
    faults = bad(await connector(tmp_path, {}, None))
    assert any("no inbound connector matches" in fault for fault in faults), faults


async def test_plus_addressing_that_is_off(tmp_path):
    simulated = {"tenant": {**BY_ADDRESS["tenant"], "recipients": [f"relay-bounces@{DOMAIN}", INVOICE]}}
    faults = bad(await connector(tmp_path, simulated, None))
    assert any("plus addressing is off" in fault for fault in faults), faults


async def test_a_certificate_of_another_name(tmp_path):
    found = await connector(tmp_path, BY_ADDRESS, certificate("relay.fabrikam.com"))
    assert any("none of the tenant's domains" in one.text for one in found)


async def test_a_certificate_that_is_over(tmp_path):
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
    pem = certificate(f"relay.{DOMAIN}", not_before=past - dt.timedelta(days=9), not_after=past)
    faults = bad(await connector(tmp_path, BY_ADDRESS, pem))
    assert any("connector certificate, validity" in fault for fault in faults), faults
    assert any("ended the connection at TLS" in fault for fault in faults), faults


async def test_mail_that_arrives_as_the_organisations_own(tmp_path):
    found = await by_connector(tmp_path, [{"networks": ["127.0.0.1/32"]}])
    assert bad(found) == []
    (one,) = [one for one in found if one.what == ARRIVES]
    assert (one.grade, one.said) == (Grade.GOOD, "Originating")


async def test_a_connector_that_became_direct_send_shows_in_what_arrived(tmp_path):
    found = await by_connector(tmp_path, [])
    assert any("it arrived as anybody's mail" in fault for fault in bad(found)), bad(found)


async def test_no_message_is_sent_to_find_that_out_where_none_may_be(tmp_path):
    found = await by_connector(tmp_path, [], options=Options(sends=False))
    (one,) = [one for one in found if one.what == ARRIVES]
    assert (one.grade, one.text) == (Grade.NOTE, "not tried: no message was to be sent")


async def test_a_message_that_cannot_be_looked_at_proves_nothing(tmp_path):
    found = await by_connector(tmp_path, [{"networks": ["127.0.0.1/32"]}], readable=[])
    (one,) = [one for one in found if one.what == ARRIVES]
    assert (one.grade, "not found" in one.text) == (Grade.NOTE, True)


ARRIVES = "arrive as the organisation's"


async def by_connector(tmp_path, connectors: list[dict], *, options: Options | None = None, readable=None):
    simulated = cloud_of(tenant={"connectors": connectors}, reports={"readable": readable})
    async with Simulator(read_directory(simulated, "test")) as sim:
        routes = {"internal": ["connector"], "external": ["connector"]}
        plain = config_of(sim, tmp_path, routes=routes, tenant={"ndrs": {"mailboxes": [INVOICE], "accounts": False}})
        plain["tenants"]["contoso"]["connector"] = {"host": f"localhost:{sim.ports['mx']}"}
        return await checked(Settings.model_validate(plain), "relay.test", options or Options())


# -- High Volume Email and ACS

HVE, NEWS = f"hve1@{DOMAIN}", f"news@{DOMAIN}"
SENDER = f"donotreply@{DOMAIN}"


async def services(tmp_path, hve: dict, acs: dict, *, tenant: dict | None = None, **changes):
    simulated = cloud_of(
        tenant={"hve": {HVE: {"send_as": [NEWS], **hve}}, "acs": {"resource": {"senders": [SENDER], **acs}},
                **(tenant or {})}
    )  # fmt: skip
    async with Simulator(read_directory(simulated, "test")) as sim:
        plain = config_of(sim, tmp_path, routes={"internal": ["hve"], "external": ["acs"]})
        plain["tenants"]["contoso"] |= {
            "hve": {
                "host": f"localhost:{sim.ports['hve']}",
                "accounts": {changes.get("account", HVE): {"send_as": [NEWS]}},
            },
            "acs": {
                "host": f"localhost:{sim.ports['acs']}", "resource": changes.get("resource", "resource"),
                "senders": [SENDER],
            },
        }  # fmt: skip
        found = await checked(Settings.model_validate(plain), "relay.test", Options())
        return found, sim


async def test_high_volume_email_and_acs_as_they_should_be(tmp_path):
    found, sim = await services(tmp_path, {}, {})
    assert bad(found) == []
    by_hve = [one for one in sim.hub.receipts.latest if one.service == "hve"]
    assert {one.sender for one in by_hve} == {HVE, NEWS}, "as itself, and as what is tied to it"
    assert {to.rpartition("@")[2] for one in by_hve for to in one.recipients} == {DOMAIN}, "inside only"
    assert not any(HVE in one.recipients for one in by_hve), "it has no mailbox"
    assert not [one for one in sim.hub.receipts.latest if one.service == "acs"], "ACS is asked, nothing is sent"
    assert {one.what for one in found if one.subject.startswith("acs")} == {"connect", "a recipient outside"}
    assert sim.hub.violations.total() == 0


@pytest.mark.parametrize(
    ("hve", "acs", "more", "words"),
    [
        ({"send_as": []}, {}, {}, "not tied to the account"),
        ({"apps": []}, {}, {}, "the app is not let in to this account"),
        ({}, {}, {"account": f"hve2@{DOMAIN}"}, "the app is not let in to this account"),
        ({}, {}, {"tenant": {"hve_allowed": False}}, "configuration refuses this login"),
        ({}, {"senders": [f"other@{DOMAIN}"]}, {}, "no MailFrom address of the resource"),
        ({}, {}, {"resource": "another"}, "user or secret is refused"),
    ],
    ids=["not tied", "not on the list", "no such account", "not allowed", "no MailFrom address", "no such resource"],
)
async def test_what_is_wrong_with_high_volume_email_or_acs_is_named(tmp_path, hve, acs, more, words):
    found, _ = await services(tmp_path, hve, acs, **more)
    assert any(words in fault for fault in bad(found)), bad(found)
