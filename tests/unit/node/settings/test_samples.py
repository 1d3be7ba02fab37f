"""The two samples of the operations page are the contract: they load as they stand, and mean what they say."""

import os
from datetime import date
from ipaddress import ip_network

import pytest
import yaml

from node.errors import ConfigurationError
from node.policy.envelope import OnUnknown, Priority
from node.settings.mail import PathKind
from node.settings.model import Settings
from node.settings.reader import Surroundings, load, read
from node.settings.rules import client_rules
from node.settings.schema import schema
from node.settings.sources import read_source
from node.settings.units import Rate
from tests.support.schema_check import problems
from tests.support.settings_files import PRODUCTION, SMALLEST, loaded, production_on_disk


def test_smallest_sample_loads_with_a_warning_about_its_certificate():
    found = load(SMALLEST, here=False)
    assert len(SMALLEST.read_text().splitlines()) == 7
    (warning,) = found.warnings
    assert "self-signed" in warning
    tenant = found.settings.tenants["contoso"]
    assert list(tenant.service_accounts) == ["relay1@contoso.com", "relay2@contoso.com"]
    assert {port.port for port in found.settings.listeners.values()} == {25, 587}


def test_accounts_of_the_short_form_may_send_as_every_address_of_the_domains():
    tenant = load(SMALLEST, here=False).settings.tenants["contoso"]
    assert {account.send_as for account in tenant.service_accounts.values()} == {("*@contoso.com",)}


def test_production_sample_loads_verbatim_without_a_word():
    found = load(PRODUCTION, here=False)
    assert found.warnings == []
    settings = found.settings
    assert list(settings.cluster.nodes) == ["relay-a", "relay-b", "relay-c"]
    assert settings.virtual_addresses["smtp-dc1"].prefer == "relay-a"
    assert settings.listeners["printers"].networks == (ip_network("10.40.0.0/14"),)
    assert settings.routes.internal == (PathKind.HVE, PathKind.CONNECTOR, PathKind.SUBMISSION)
    tenant = settings.tenants["contoso"]
    assert tenant.external_recipients == Rate(72_000, 86_400.0)
    assert tenant.service_accounts["otp@contoso.com"].only == ("otp",)
    assert tenant.connector.certificate.credential == "contoso-connector"
    otp = settings.plans["otp"]
    assert (otp.expire, otp.priority, otp.copies, otp.on_unknown) == (
        600.0,
        Priority.URGENT,
        "required",
        OnUnknown.RESEND,
    )
    assert settings.plans["printer"].size == 25 << 20
    assert settings.bounces.sender == "relay-bounces@contoso.com"
    assert settings.history.keep == 30 * 86_400
    assert settings.admin.oidc.roles == {"relay-ops": "operator", "helpdesk": "viewer"}


@pytest.mark.parametrize("node", ["relay-a", "relay-b", "relay-c"])
def test_production_sample_runs_on_each_of_its_machines(tmp_path, node):
    path = production_on_disk(tmp_path, node)
    around = Surroundings(
        host=f"{node}.corp.example",
        environment={**os.environ, "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")},
    )
    found = read(read_source(path), base=tmp_path, around=around)
    assert found.node == node
    assert all("example, not a hash" in warning for warning in found.warnings)
    clients = found.settings.clients
    assert list(clients) == ["billing", "billing-uat", "floor-printers"]
    assert [password.until for password in clients["billing"].passwords] == [date(2027, 1, 31), None]
    assert clients["billing-uat"].redirect == "billing-test@contoso.com"
    assert {rule.name for rule in client_rules(found.settings)} == set(clients)


def test_production_sample_is_refused_on_a_machine_it_does_not_name(tmp_path):
    path = production_on_disk(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        load(path, host="printer-17")
    assert any("cluster.nodes: printer-17 (its host name); say --node is none" in line for line in caught.value.faults)


@pytest.mark.parametrize("sample", [SMALLEST, PRODUCTION], ids=lambda path: path.stem)
def test_schema_accepts_the_samples(sample):
    assert problems(yaml.safe_load(sample.read_text()), schema(), schema()) == []


def test_schema_refuses_what_the_reader_refuses():
    data = yaml.safe_load(SMALLEST.read_text())
    data["clients"]["apps"]["tp"] = "internal"
    data["plans"] = {"bulk": {"rate": "30 per minute"}}
    found = problems(data, schema(), schema())
    assert any("$.clients.apps.tp: unknown" in line for line in found)
    assert any("$.plans.bulk.rate" in line for line in found)


def test_schema_wants_either_tenant_or_tenants():
    assert problems({"clients": {}}, schema(), schema())
    assert problems({"tenant": {}, "tenants": {}}, schema(), schema())


def test_what_is_written_out_again_reads_the_same(tmp_path):
    settings = load(PRODUCTION, here=False).settings
    again = yaml.safe_dump(settings.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    assert loaded(tmp_path, again).settings == settings


@pytest.mark.parametrize("sample", [SMALLEST, PRODUCTION], ids=lambda path: path.stem)
def test_settings_survive_the_way_to_another_process(sample):
    settings = load(sample, here=False).settings
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
