"""Values for the examples, and what the modules are given in tests of bad input."""

from typing import Any

KEYS = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEexampleexampleexampleexampleexampleexample ops"]
PASSWORD = "not-in-any-state"
WEBHOOK = "https://alerts.corp.example/relay"


def _vcenter(name: str) -> dict[str, str]:
    return {"server": f"vcenter.{name}.corp.example", "user": "terraform", "password": PASSWORD}


EXAMPLES: dict[str, dict[str, Any]] = {
    "azure-three-zones": {
        "subscription_id": "00000000-0000-4000-8000-000000000000",
        "key_vault_name": "kv-corp-mail-example",
        "ssh_public_keys": KEYS,
        "alert_webhook": WEBHOOK,
    },
    "two-datacenters-witness": {
        "vcenters": {site: _vcenter(site) for site in ("dc1", "dc2", "witness")},
        "ssh_public_keys": KEYS,
    },
    "vsphere-three-hosts": {
        "vcenter": _vcenter("dc1"),
        "tenant_id": "8f2c1a0e-0000-4000-8000-000000000000",
        "certificate_file": "tests/certificate.pem",
        "ssh_public_keys": KEYS,
    },
}

AZURE: dict[str, Any] = {
    "name": "corp-mail",
    "resource_group_name": "rg-corp-mail",
    "location": "westeurope",
    "network": {
        "address_space": "10.20.0.0/24",
        "zones": {"1": "10.20.0.0/27", "2": "10.20.0.32/27", "3": "10.20.0.64/27"},
        "load_balancer": "10.20.0.96/28",
        "private_endpoints": "10.20.0.112/28",
    },
    "nodes": {
        "relay-a": {"zone": "1", "address": "10.20.0.4"},
        "relay-b": {"zone": "2", "address": "10.20.0.36"},
        "relay-c": {"zone": "3", "address": "10.20.0.68"},
    },
    "virtual_address": {"address": "10.20.0.100"},
    "client_networks": ["10.0.0.0/8"],
    "admin_networks": ["10.9.0.0/24"],
    "ssh_public_keys": KEYS,
    "key_vault": {"name": "kv-corp-mail"},
    "alerts": {"webhooks": {"on-call": WEBHOOK}},
}
VSPHERE: dict[str, Any] = {
    "name": "corp-mail",
    "site": "dc1",
    "vsphere": {"datacenter": "dc1", "compute_cluster": "prod", "template": "debian-12-cloud"},
    "network": {
        "subnet": "10.1.0.0/24", "gateway": "10.1.0.1", "dns_servers": ["10.1.0.2"], "port_group": "relays",
    },
    "nodes": {
        "relay-a": {"address": "10.1.0.11", "datastore": "san-1"},
        "relay-b": {"address": "10.1.0.12", "datastore": "san-2"},
        "relay-c": {"address": "10.1.0.13", "datastore": "san-3"},
    },
    "virtual_addresses": {"smtp": {"address": "10.1.0.10"}},
    "ssh_public_keys": KEYS,
}  # fmt: skip
ENTRA: dict[str, Any] = {
    "mailboxes": ["relay1@contoso.com"],
    "certificates": {"first": {"pem": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"}},
}
INVENTORY: dict[str, Any] = {
    "cluster_name": "corp-mail",
    "nodes": [
        {"relay-a": {"address": "10.1.0.11", "site": "dc1"}},
        {"relay-b": {"address": "10.2.0.11", "site": "dc2"}},
        {"etcd-w": {"address": "10.3.0.11", "site": "office", "relay": False}},
    ],
    "virtual_addresses": [{"smtp": {"address": "10.1.0.10", "site": "dc1", "driver": "netlink"}}],
}
MODULES = {"azure-cluster": AZURE, "vsphere-cluster": VSPHERE, "entra-app": ENTRA, "inventory": INVENTORY}
