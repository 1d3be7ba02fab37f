"""The ways out beside the service accounts: how they are written, and what is wrong with them."""

import pytest
import trustme

from node.settings.certificates import client_findings
from node.settings.nets import host_and_port
from tests.support.settings_files import TENANT, faults, loaded, write

APP = "  app: {client_id: 1b7d2c3e-0000-4000-8000-000000000000, secret: {file: secret}}\n"
ROUTES = "routes: {internal: [submission], external: [submission]}\n"

ROWS = {
    "host with a path": ("connector: {host: a/b}", "tenant.connector.host: expected host or host:port, not 'a/b'"),
    "port out of range": ("direct_send: {host: 'a:70000'}", "tenant.direct_send.host: expected a port from 1"),
    "probe inside": (
        "connector: {probe: {to: x@contoso.com}}",
        "tenant.connector.probe.to: its domain is a tenant's own",
    ),
    "probe too often": ("connector: {probe: {to: x@other.org, every: 5s}}", "expected at least 1m between two looks"),
    "sample to a mailbox nobody reads": (
        "connector: {probe: {to: x@other.org, mailbox: a@contoso.com}}\n  ndrs: {mailboxes: [b@contoso.com]}",
        "probe.mailbox: this mailbox is not read (tenants.*.ndrs); those that are: b@contoso.com, relay1@contoso.com",
    ),
    "sample without reading": (
        "connector: {probe: {to: x@other.org, mailbox: a@contoso.com}}",
        "this mailbox is not read (tenants.*.ndrs); those that are: none",
    ),
    "sample too often": (
        "connector: {probe: {to: x@other.org, mailbox: relay1@contoso.com, mailbox_every: 1m}}\n  ndrs: {}",
        "probe.mailbox_every: expected at least 5m",
    ),
    "HVE account that is a mailbox": ("hve: [relay1@contoso.com]", "this address is a service account already"),
    "HVE for no plan": ("hve: {accounts: {h@contoso.com: {only: [x]}}}", "there is no plan 'x'"),
    "HVE without accounts": ("hve: []", "tenant.hve: expected at least 1 entry"),
    "too many for HVE": (
        "hve: {accounts: {h@contoso.com: }, recipients_per_message: 51}",
        "hve.recipients_per_message: expected a value up to 50",
    ),
    "ACS without a name": ('acs: {senders: ["*@contoso.com"]}', "tenant.acs: give either resource or user"),
    "ACS with two": ('acs: {senders: ["*@contoso.com"], user: a, resource: b}', "give either resource or user"),
    "ACS without senders": ("acs: {resource: b}", "tenant.acs.senders: is missing"),
}


@pytest.mark.parametrize(("text", "expected"), ROWS.values(), ids=ROWS.keys())
def test_fault(tmp_path, text, expected):
    found = faults(tmp_path, f"{TENANT}  {text}\n")
    assert any(expected in fault for fault in found), found
    assert len(found) == 1, found


@pytest.mark.parametrize(("routes", "said"), [("connector, submission", False), ("submission", True)])
def test_a_probe_of_a_connector_no_mail_goes_by_is_pointed_out(tmp_path, routes, said):
    text = f"{TENANT}  connector: {{probe: {{to: x@other.org}}}}\nroutes: {{external: [{routes}]}}\n"
    warnings = loaded(tmp_path, text).warnings
    assert any("connector.probe: has no effect: no route names connector" in one for one in warnings) is said


def test_without_an_app_nobody_logs_in(tmp_path):
    text = TENANT.replace(APP, "") + "  connector: {host: mx}\n"
    routes = "routes: {internal: [connector], external: [connector]}\n"
    loaded(tmp_path, text + routes)
    assert (
        "hve: its accounts log in with the tenant's app"
        in faults(tmp_path, text + "  hve: [h@contoso.com]\n" + routes)[0]
    )
    acs = '  acs: {resource: r, senders: ["*@contoso.com"]}\n'
    found = faults(tmp_path, text + acs + routes)
    assert [line.partition(": ")[2] for line in found] == [
        "tenant.acs.client_id: the user name names an application, and the tenant has no app",
        "tenant.acs.secret: the tenant's app has no secret that could be the password",
    ]


def test_the_short_form_of_hve_sends_as_itself(tmp_path):
    hve = loaded(tmp_path, TENANT + "  hve: [HVE1@contoso.com]\n").settings.tenants["contoso"].hve
    assert [(address, one.send_as) for address, one in hve.accounts.items()] == [("HVE1@contoso.com", ())]
    assert (hve.host, hve.recipients_per_message) == ("smtp-hve.office365.com:587", 50)


@pytest.mark.parametrize("kind", ["hve", "direct-send"])
def test_what_takes_nobody_outside_is_no_way_for_external_mail(tmp_path, kind):
    text = TENANT + "  hve: [h@contoso.com]\n"
    said = "takes recipients inside the tenant only"
    with_others = loaded(tmp_path, f"{text}routes: {{external: [{kind}, submission]}}\n").warnings
    assert any(f"{said}; it is passed over" in line for line in with_others)
    assert (
        "mail of tenant contoso has no way out here" in faults(tmp_path, f"{text}routes: {{external: [{kind}]}}\n")[0]
    )
    within = loaded(tmp_path, f"{text}routes: {{internal: [{kind}]}}\n").warnings
    assert not any(said in line for line in within)


def test_hve_of_another_cloud_is_pointed_out(tmp_path):
    text = TENANT + "  cloud: gcc-high\n  hve: [h@contoso.com]\n"
    assert any(
        "hve.host: smtp-hve.office365.com:587 is of the worldwide cloud" in line
        for line in loaded(tmp_path, text).warnings
    )


def pem(*names, **more):
    return trustme.CA().issue_cert(*names, **more).cert_chain_pems[0].bytes().decode()


@pytest.mark.parametrize("name", ["contoso.com", "*.contoso.com", "relay.mail.contoso.com"])
def test_a_certificate_the_tenant_can_be_known_by(name):
    assert client_findings(pem(name), ["contoso.com"]) == []


def test_doubts_about_a_connectors_certificate():
    assert "none of the tenant's domains" in client_findings(pem("notcontoso.com"), ["contoso.com"])[0]
    own = trustme.CA().cert_pem.bytes().decode()
    assert any("is signed by itself" in line for line in client_findings(own, ["contoso.com"]))
    assert client_findings("no certificate", ["contoso.com"]) == []


def test_the_names_of_a_connectors_certificate_are_looked_at_where_it_lies(tmp_path):
    issued = trustme.CA().issue_cert("relay.fabrikam.com")
    (tmp_path / "connector.pem").write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    write(tmp_path, "x", "secret")
    (tmp_path / "secret").chmod(0o600)
    found = loaded(tmp_path, TENANT + "  connector: {certificate: {file: connector.pem}}\n", here=True).warnings
    assert any(
        "connector.certificate: bears relay.fabrikam.com, none of the tenant's domains" in line for line in found
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("mx.contoso.com", ("mx.contoso.com", 25)),
        ("mx.contoso.com:2525", ("mx.contoso.com", 2525)),
        ("127.0.0.1:26", ("127.0.0.1", 26)),
        ("[::1]:26", ("::1", 26)),
        ("::1", ("::1", 25)),
    ],
)
def test_hosts_with_and_without_ports(text, place):
    assert host_and_port(text, 25) == place


@pytest.mark.parametrize("text", ["", ":25", "a:", "a:0", "a:65536", "a b", "a/b", "u@h", "a:1:2", "[x]:1", "[dead]"])
def test_what_is_no_host(text):
    with pytest.raises(ValueError, match="expected"):
        host_and_port(text, 25)
