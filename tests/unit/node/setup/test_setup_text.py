"""The steps for several configurations, word for word; and what must hold of all of them.

``RELAY_WRITE_GOLDEN=1`` writes the expected texts anew: look at the difference before keeping it.
"""

import os
import re
from pathlib import Path

import pytest

from node.settings.mail import Plan
from node.settings.model import Settings
from node.setup.needs import needs_of
from node.setup.plan import setup_text, steps_for
from node.setup.section import quoted
from tests.support.settings_files import PRODUCTION, SMALLEST

GOLDEN = Path(__file__).parent / "golden"
ID, CLIENT = "8f2c1a0e-0000-4000-8000-000000000000", "1b7d2c3e-0000-4000-8000-000000000000"
BASE = {
    "id": ID,
    "domains": ["contoso.com"],
    "app": {"client_id": CLIENT, "secret": {"file": "/etc/m365-relay/app-secret"}},
}
APPS = {"apps": {"networks": ["10.1.0.0/16"], "senders": ["invoice@contoso.com", "scan-*@contoso.com"]}}
CONFIGURATIONS = {
    "connector_by_address": {
        "tenants": {"contoso": {**BASE, "app": None, "connector": {}}},
        "routes": {"internal": ["connector"], "external": ["connector"]},
        "bounces": {"return_path": "relay-bounces@contoso.com", "accept_from": ["40.92.0.0/15"]},
        "clients": APPS,
        "egress": {"source_address": "81.2.69.142"},
    },
    "graph_and_reports": {
        "tenants": {
            "agency": {
                **BASE,
                "cloud": "gcc-high",
                "app": {"client_id": CLIENT, "certificate": {"credential": "agency-app"}},
                "service_accounts": {"relay1@contoso.com": {"send_as": ["invoice@contoso.com"], "sent_items": False}},
                "ndrs": {"mailboxes": ["invoice@contoso.com"]},
            }
        },
        "routes": {"internal": ["graph"], "external": ["graph"]},
        "clients": APPS,
    },
    "everything_else": {
        "tenants": {
            "contoso": {
                **BASE,
                "app": {"client_id": CLIENT, "managed_identity": "user"},
                "service_accounts": {"o'neill@contoso.com": {"password": {"credential": "old"}}},
                "hve": ["hve1@contoso.com"],
                "acs": {"senders": ["news@contoso.com"], "resource": "mail-corp"},
                "connector": {"certificate": {"credential": "connector"}},
            }
        },
        "routes": {
            "internal": ["hve", "direct-send", "connector", "submission"],
            "external": ["connector", "submission", "acs"],
        },
        "bounces": {"return_path": "relay-bounces@contoso.com"},
        "clients": APPS,
    },
}


def settings_of(name: str) -> Settings:
    if name in CONFIGURATIONS:
        return Settings.model_validate(CONFIGURATIONS[name])
    from node.settings.reader import load

    return load({"smallest": SMALLEST, "production": PRODUCTION}[name], here=False).settings


NAMES = ["smallest", "production", *CONFIGURATIONS]


@pytest.mark.parametrize("name", NAMES)
def test_the_text(name):
    settings = settings_of(name)
    text = "\n".join(setup_text(settings, tenant) for tenant in settings.tenants)
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("RELAY_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_no_step_gives_the_app_more_than_its_group(name):
    settings = settings_of(name)
    for tenant in settings.tenants:
        text = setup_text(settings, tenant)
        assert "-Role 'Application" not in re.sub(r".*-CustomResourceScope 'm365-relay'.*", "", text)
        for forbidden in ("full_access_as_app", "Mail.ReadWrite", "FullAccess", "Set-TransportConfig"):
            assert forbidden not in text


@pytest.mark.parametrize("name", NAMES)
def test_no_line_of_a_command_is_broken_and_every_step_says_why(name):
    settings = settings_of(name)
    for tenant in settings.tenants:
        text = setup_text(settings, tenant)
        for section in steps_for(settings, tenant):
            assert section.why.endswith(".")
            assert section.commands or section.steps or "mailbox" in section.title
            for command in section.commands:
                assert command in text
                assert command.count("'") % 2 == 0 or command.startswith("$group"), command


def test_the_roles_follow_the_ways():
    agency = needs_of(settings_of("graph_and_reports"), "agency")
    assert agency.roles == ("Application Mail.Send", "Application Mail.Read")
    smallest = settings_of("smallest")
    assert needs_of(smallest, next(iter(smallest.tenants))).roles == ("Application SMTP.SendAsApp",)
    assert needs_of(settings_of("connector_by_address"), "contoso").roles == ()


def test_drafts_are_written_only_where_a_plan_lets_mail_be_built_anew():
    settings = settings_of("graph_and_reports")
    plans = {**settings.plans, "big": Plan(rebuild=True)}
    agency = needs_of(settings.model_copy(update={"plans": plans}), "agency")
    assert agency.roles == ("Application Mail.Send", "Application Mail.ReadWrite"), "which reads as well"


def test_what_is_quoted_cannot_leave_its_quotes():
    assert quoted("a'; Remove-Mailbox 'x") == "'a''; Remove-Mailbox ''x'"
