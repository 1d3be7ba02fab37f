"""Mistakes are found before anything is made: by the providers' schemas, or by the modules with a clear text."""

import json
from copy import deepcopy

import pytest

from tests.terraform.inputs import KEYS, MODULES
from tests.terraform.offline.terraform import Terraform, copied

pytestmark = pytest.mark.timeout(300)

WRITTEN_WRONG = {
    "misspelt attribute": (
        "balancer.tf", "request_path  ", "request_paht  ", 'An argument named "request_paht" is not expected here',
    ),
    "missing attribute": (
        "vault.tf", '  sku_name                      = "standard"\n', "", 'The argument "sku_name" is required',
    ),
    "wrong type": ("balancer.tf", "interval_in_seconds = 5", 'interval_in_seconds = "often"', "a number is required"),
    "misplaced block": ("hosts.tf", "  os_disk {", "  system_disk {", 'Blocks of type "system_disk" are not expected'),
    "unknown resource": (
        "balancer.tf", 'resource "azurerm_lb_probe"', 'resource "azurerm_lb_check"', "does not support resource type",
    ),
    "attribute that is not there": (
        "outputs.tf", "azurerm_key_vault.relay.vault_uri", "azurerm_key_vault.relay.uri", "Unsupported attribute",
    ),
    "word the provider refuses": ("balancer.tf", '= "Http"', '= "http"', "protocol allows Http|Https|Tcp, not http"),
    "what only the provider decides": (
        "vault.tf", "  tenant_id  ", '  vault_uri = "x"\n  tenant_id  ', "vault_uri is decided by the provider",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def rooted(older, tmp_path_factory):
    """Modules with a provider block of their own, so that they run as roots; one copy for all bad input."""
    return Terraform(copied(tmp_path_factory.mktemp("rooted")), older)


@pytest.mark.parametrize("mistake", WRITTEN_WRONG)
def test_a_mistake_in_a_module_fails_to_validate(terraform, mistake):
    name, right, wrong, text = WRITTEN_WRONG[mistake]
    file = terraform.tree / "modules/azure-cluster" / name
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, wrong, 1))
    terraform.init("modules/azure-cluster")
    code, said = terraform.said("modules/azure-cluster", "validate")
    assert code == 1
    assert text in said


def test_an_id_of_another_kind_of_resource_fails_when_it_is_known(terraform):
    file = terraform.tree / "modules/azure-cluster/network.tf"
    right = "subnet_id      = azurerm_subnet.zone[each.key].id"
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, "subnet_id      = azurerm_virtual_network.relay.id"))
    code, said = given(terraform, "azure-cluster", {}, "apply", "-auto-approve")
    assert code == 1
    assert "subnet_id is not the id of azurerm_subnet" in said


BAD = [
    ("azure-cluster", {"nodes.relay-c": None}, "etcd needs an odd number of members"),
    ("azure-cluster", {"nodes.relay-b": {"zone": "1", "address": "10.20.0.5"}}, "one zone has most members of etcd"),
    (
        "azure-cluster",
        {"nodes.relay-b": {"zone": "2", "address": "10.20.0.36", "etcd": False}, "nodes.relay-c.relay": False},
        "etcd needs an odd number",
    ),
    ("azure-cluster", {"nodes.relay-a.zone": "one"}, 'zone is "1", "2" or "3"'),
    ("azure-cluster", {"nodes.relay-a.address": "fd00::4"}, "IPv6 is not made"),
    ("azure-cluster", {"nodes.relay-a.address": "10.20.0.4/27"}, 'plain IPv4 address such as "10.20.0.4"'),
    ("azure-cluster", {"nodes.relay-a.address": "10.20.0.40"}, "outside the subnet of its zone"),
    ("azure-cluster", {"nodes.relay-a.address": "10.20.0.31"}, "first four addresses of a subnet and its last"),
    ("azure-cluster", {"nodes.Relay_A": {"zone": "1", "address": "10.20.0.5"}}, "a node's name is its host name"),
    ("azure-cluster", {"virtual_address.address": "10.20.0.4"}, "outside the load balancer's subnet"),
    ("azure-cluster", {"virtual_address.address": "fd00::1"}, 'plain IPv4 address such as "10.20.0.100"'),
    ("azure-cluster", {"virtual_address.probe_port": 587}, "probe_port is between 1024 and 65535"),
    ("azure-cluster", {"virtual_address.prefer": "relay-x"}, "prefer names a node that is a relay"),
    ("azure-cluster", {"network.zones": {"1": "10.20.0.0/27"}}, 'zones has the three keys "1", "2" and "3"'),
    ("azure-cluster", {"network.load_balancer": "fd00::/64"}, "every range is IPv4 with a prefix length"),
    ("azure-cluster", {"network.load_balancer": "10.20.0.97/28"}, "bits of a host set"),
    ("azure-cluster", {"network.load_balancer": "10.20.0.64/26"}, "two subnets overlap"),
    ("azure-cluster", {"network.load_balancer": "10.20.0.0/27"}, "two subnets overlap"),
    ("azure-cluster", {"network.load_balancer": "10.99.0.96/28"}, "a subnet lies outside address_space"),
    ("azure-cluster", {"client_networks": ["0.0.0.0/0"]}, "wider than /8"),
    ("azure-cluster", {"admin_networks": ["10.0.0.0/8"]}, "none wider than /16"),
    ("azure-cluster", {"key_vault.name": "1-kv"}, "3 to 24 letters, digits and hyphens"),
    ("azure-cluster", {"ssh_public_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}, "never a private key"),
    ("azure-cluster", {"location": "West Europe"}, "the region's short name"),
    ("vsphere-cluster", {"nodes.relay-c": None}, "etcd needs an odd number of members"),
    ("vsphere-cluster", {"nodes.relay-c.address": "fd00::13"}, "all IPv4 or all IPv6"),
    ("vsphere-cluster", {"nodes.relay-c.address": "10.1.1.13"}, "an address lies outside network.subnet"),
    ("vsphere-cluster", {"nodes.relay-c.address": "10.1.0.1"}, "by a node and the gateway"),
    ("vsphere-cluster", {"virtual_addresses.smtp.address": "fd00::10"}, "of one family, both IPv4 or both IPv6"),
    ("vsphere-cluster", {"virtual_addresses.smtp.address": "10.2.0.10"}, "where no neighbour would ask for it"),
    ("vsphere-cluster", {"virtual_addresses.smtp.address": "10.1.0.11"}, "belongs to a node or to the gateway"),
    ("vsphere-cluster", {"virtual_addresses.smtp.address": "10.1.0.10/24"}, "it becomes a /32 or /128 by itself"),
    ("vsphere-cluster", {"virtual_addresses.again": {"address": "10.1.0.10"}}, "an address is given twice"),
    ("vsphere-cluster", {"network.subnet": "10.1.0.1/24"}, "no bits of a host set"),
    ("vsphere-cluster", {"network.vlan_id": 110}, "distributed_switch and vlan_id come together"),
    ("entra-app", {"certificates": {}}, "could not sign in"),
    ("entra-app", {"certificates.first.pem": "-----BEGIN PRIVATE KEY-----"}, "treat the key as lost"),
    ("entra-app", {"mailboxes": []}, "name one at least"),
    ("entra-app", {"authorization": "everything"}, "scoped_roles or mailbox_permissions"),
    (
        "entra-app",
        {"authorization": "mailbox_permissions", "uses": ["graph"]},
        "Graph permissions in Entra reach every mailbox",
    ),
    (
        "inventory",
        {"nodes.1": {"relay-a": {"address": "10.2.0.11", "site": "dc2"}}},
        "two sites have a node of the same name",
    ),
    (
        "inventory",
        {"virtual_addresses.0.again": {"address": "10.1.0.10", "site": "dc1", "driver": "netlink"}},
        "given twice",
    ),
    ("inventory", {"nodes.2.etcd-w": None}, "add a witness"),
    ("inventory", {"nodes.2.etcd-w.site": "dc1"}, "one site has most members of etcd"),
    ("inventory", {"virtual_addresses.0.smtp.site": "office"}, "no relay stands at the site"),
    ("inventory", {"virtual_addresses.0.smtp.driver": "vrrp"}, "driver is netlink, probe or hook"),
]


@pytest.mark.parametrize(
    ("module", "change", "text"), BAD, ids=lambda one: next(iter(one)) if isinstance(one, dict) else None
)
def test_bad_input_is_refused_in_words(rooted, module, change, text):
    code, said = given(rooted, module, change, "plan")
    assert code == 1
    assert text in said


@pytest.mark.parametrize("module", MODULES)
def test_the_same_input_without_the_mistake_is_taken(rooted, module):
    code, said = given(rooted, module, {}, "plan")
    assert code == 0, said


def test_the_keys_of_these_tests_are_public():
    assert all(key.startswith("ssh-ed25519 ") for key in KEYS)


def given(terraform, module, change, *command):
    """Run a command on a module as a root, with its good input and one change."""
    values = deepcopy(MODULES[module])
    for path, value in change.items():
        *above, last = path.split(".")
        place = values
        for key in above:
            place = place[int(key) if isinstance(place, list) else key]
        if value is None:
            del place[last]
        else:
            place[int(last) if isinstance(place, list) else last] = value
    folder = f"modules/{module}"
    (terraform.tree / folder / "given.tfvars.json").write_text(json.dumps(values))
    (terraform.tree / folder / "given.tf").write_text(PROVIDERS.get(module, ""))
    terraform.init(folder)
    return terraform.said(folder, *command, "-input=false", "-var-file=given.tfvars.json")


PROVIDERS = {
    "azure-cluster": 'provider "azurerm" {\n  features {}\n}\n',
    "vsphere-cluster": 'provider "vsphere" {\n  user = "u"\n  password = "p"\n  vsphere_server = "v"\n}\n',
}
