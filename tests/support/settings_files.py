"""Configurations on disk for tests: the two samples, certificates from a throw-away authority, short snippets."""

from pathlib import Path

import trustme

from node.errors import ConfigurationError
from node.settings.reader import Loaded, load
from tests.support.pki import ClusterAuthority

SAMPLES = Path(__file__).parent / "samples"
SMALLEST = SAMPLES / "smallest.yaml"
PRODUCTION = SAMPLES / "production.yaml"
TENANT = """\
tenant:
  id: 8f2c1a0e-0000-4000-8000-000000000000
  domains: [contoso.com]
  app: {client_id: 1b7d2c3e-0000-4000-8000-000000000000, secret: {file: secret}}
  service_accounts: [relay1@contoso.com]
"""
CLIENTS = """\
clients:
  apps: {networks: [10.1.0.0/16], senders: ["*@contoso.com"], owner: it@contoso.com}
"""


def write(directory: Path, text: str, name: str = "relay.yaml") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def loaded(directory: Path, text: str, **options) -> Loaded:
    return load(write(directory, text), **{"here": False, **options})


def faults(directory: Path, text: str, **options) -> list[str]:
    """Give the faults of a configuration, without the directory's name; fails when there are none."""
    try:
        loaded(directory, text, **options)
    except ConfigurationError as error:
        return [fault.replace(f"{directory}/", "") for fault in error.faults]
    raise AssertionError("no fault was found")


def production_on_disk(directory: Path, node: str = "relay-a") -> Path:
    """Write the production sample with every file it points at below *directory*, with the certificates of *node*."""
    authority = trustme.CA()
    issued = authority.issue_cert("smtp.contoso.com")
    (directory / "tls").mkdir()
    issued.cert_chain_pems[0].write_to_path(directory / "tls" / "smtp.pem")
    authority.cert_pem.write_to_path(directory / "tls" / "corp-ca.pem")
    ClusterAuthority("corp-mail").write(directory / "pki", node)
    credentials = directory / "credentials"
    credentials.mkdir()
    issued.private_key_pem.write_to_path(credentials / "smtp-key")
    for name in ("contoso-app", "contoso-connector"):
        issued.private_key_and_cert_chain_pem.write_to_path(credentials / name)
    write(directory, (SAMPLES / "clients.d" / "billing.yaml").read_text(), "clients.d/billing.yaml")
    return write(directory, PRODUCTION.read_text().replace("/etc/m365-relay", str(directory)))
