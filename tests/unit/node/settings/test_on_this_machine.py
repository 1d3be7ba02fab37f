"""Where a node is to run, everything its configuration points at is looked at before it starts."""

from datetime import UTC, datetime, timedelta

import pytest
import trustme

from node.errors import ConfigurationError
from node.settings.reader import Surroundings, read
from node.settings.sources import read_source
from tests.support.pki import ClusterAuthority
from tests.support.settings_files import CLIENTS, TENANT, write

BASE = TENANT + CLIENTS
TLS = "tls: {certificate: tls.pem, key: {file: tls.key}}\n"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def place(tmp_path, authority):
    write(tmp_path, "s3", "secret").chmod(0o600)
    issued = authority.issue_cert("smtp.contoso.com")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "tls.pem")
    issued.private_key_pem.write_to_path(tmp_path / "tls.key")
    (tmp_path / "tls.key").chmod(0o600)
    return tmp_path


def told(place, text, **around):
    """Give the faults, or else the warnings, of a configuration on this machine."""
    source = read_source(write(place, text))
    try:
        return read(source, base=place, around=Surroundings(**{"host": "here", **around})).warnings
    except ConfigurationError as error:
        return error.faults


def test_a_good_pair_is_fine(place):
    assert told(place, BASE + TLS) == []


def test_missing_secret(place):
    (place / "secret").unlink()
    (fault,) = told(place, BASE + TLS)
    assert "relay.yaml:4:58: tenant.app.secret: secret file" in fault
    assert "No such file" in fault


def test_open_secret_is_a_warning(place):
    (place / "secret").chmod(0o644)
    assert "tenant.app.secret: secret file" in told(place, BASE + TLS)[0]


def test_missing_certificate_and_key(place):
    (place / "tls.pem").unlink()
    (place / "tls.key").unlink()
    found = told(place, BASE + TLS)
    assert [fault.split(": ")[1] for fault in found] == ["tls.certificate", "tls.key"]


def test_certificate_that_is_none(place):
    (place / "tls.pem").write_text("hunter2")
    (fault,) = told(place, BASE + TLS)
    assert fault.endswith("tls.certificate: no readable certificate (PEM) found")


def test_key_that_is_none(place):
    (place / "tls.key").write_text("hunter2")
    assert told(place, BASE + TLS)[0].endswith("no usable private key (PEM) found")


def test_key_of_another_certificate(place, authority):
    authority.issue_cert("other").private_key_pem.write_to_path(place / "tls.key")
    assert told(place, BASE + TLS)[0].endswith("the private key belongs to another certificate")


def test_expired_certificate_is_a_warning(place, authority):
    issued = authority.issue_cert("smtp.contoso.com", not_after=datetime(2021, 1, 1, tzinfo=UTC))
    issued.cert_chain_pems[0].write_to_path(place / "tls.pem")
    issued.private_key_pem.write_to_path(place / "tls.key")
    assert "ran out on 2021-01-01" in told(place, BASE + TLS)[0]


def test_certificate_that_ends_soon_is_a_warning(place, authority):
    now = datetime.now(UTC)
    issued = authority.issue_cert("smtp.contoso.com", not_after=now + timedelta(days=5))
    issued.cert_chain_pems[0].write_to_path(place / "tls.pem")
    issued.private_key_pem.write_to_path(place / "tls.key")
    assert "runs out on" in told(place, BASE + TLS, now=now)[0]


def test_application_certificate_needs_its_key(place, authority):
    text = BASE.replace("secret: {file: secret}", "certificate: {file: app.pem}") + TLS
    issued = authority.issue_cert("app")
    issued.private_key_and_cert_chain_pem.write_to_path(place / "app.pem")
    (place / "app.pem").chmod(0o600)
    assert told(place, text) == []
    issued.cert_chain_pems[0].write_to_path(place / "app.pem")
    assert told(place, text)[0].endswith("tenant.app.certificate: no usable private key (PEM) found")


def test_trusted_certificates_are_read(place, authority):
    assert "egress.ca: file" in told(place, BASE + TLS + "egress: {ca: ca.pem}\n")[0]
    authority.cert_pem.write_to_path(place / "ca.pem")
    assert told(place, BASE + TLS + "egress: {ca: ca.pem}\n") == []


def test_credential_needs_systemd(place):
    text = BASE.replace("{file: secret}", "{credential: app}") + TLS
    assert "CREDENTIALS_DIRECTORY is not set" in told(place, text, environment={})[0]
    write(place, "s3", "credentials/app")
    assert told(place, text, environment={"CREDENTIALS_DIRECTORY": str(place / "credentials")}) == []


CLUSTER = """\
cluster:
  name: corp
  nodes: {relay-a: {site: dc1, address: 10.1.0.11}, relay-b: {site: dc1, address: 10.1.0.12}}
  etcd: [etcd-1]
  pki: pki
"""


def test_cluster_needs_its_certificates_and_a_node_of_that_name(place):
    found = told(place, BASE + TLS + CLUSTER, node_name="relay-z")
    assert any("cluster.nodes: relay-z is none of the nodes: relay-a, relay-b" in fault for fault in found)
    assert any("pki lacks ca.pem, node.pem, node.key" in fault for fault in found)
    ours = ClusterAuthority("corp")
    ours.write(place / "pki", "relay-a")
    assert told(place, BASE + TLS + CLUSTER, host="relay-a.corp.example") == []
    (fault,) = told(place, BASE + TLS + CLUSTER, host="relay-b.corp.example")
    assert "cluster.pki: " in fault
    assert "node.pem is relay://corp/relay-a, not relay://corp/relay-b" in fault
    write(place, "x", "pki/node.key")
    (fault,) = told(place, BASE + TLS + CLUSTER, host="relay-a.corp.example")
    assert "cluster.pki: " in fault
    assert "the certificates are not usable or no pair" in fault


def test_certificates_of_the_cluster_that_end_are_told(place):
    ClusterAuthority("corp").write(place / "pki", "relay-a", ends=datetime.now(UTC) + timedelta(days=3))
    (warning,) = told(place, BASE + TLS + CLUSTER, host="relay-a")
    assert "cluster.pki: CN=relay-a: runs out on" in warning
