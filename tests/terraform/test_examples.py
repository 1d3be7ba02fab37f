"""The examples as programs: applied, planned again without a change, and what comes out of them."""

import json

import pytest
import yaml

from node.settings.reader import load
from node.setup.plan import steps_for
from tests.terraform.inputs import EXAMPLES, PASSWORD, WEBHOOK
from tests.terraform.offline.terraform import Terraform, copied

pytestmark = pytest.mark.timeout(300)


TENANT_AND_CLIENTS = {
    "tenant": {
        "id": EXAMPLES["vsphere-three-hosts"]["tenant_id"],
        "domains": ["contoso.com"],
        "app": {"client_id": "1b7d2c3e-0000-4000-8000-000000000000", "certificate": {"credential": "app"}},
        "service_accounts": ["relay1@contoso.com", "relay2@contoso.com"],
    },
    "clients": {"apps": {"networks": ["10.1.0.0/16"], "senders": ["relay1@contoso.com"], "owner": "it@contoso.com"}},
    "routes": {"internal": ["submission"], "external": ["submission"]},
}


def applied(terraform, name):
    folder = f"examples/{name}"
    (terraform.tree / folder / "given.tfvars.json").write_text(json.dumps(EXAMPLES[name]))
    terraform.init(folder)
    terraform.must(folder, "apply", "-auto-approve", "-no-color", "-input=false", "-var-file=given.tfvars.json")
    return folder


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_second_plan_finds_nothing_to_do(terraform, name):
    folder = applied(terraform, name)
    planned = terraform.run(
        folder, "plan", "-detailed-exitcode", "-no-color", "-input=false", "-var-file=given.tfvars.json"
    )
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "No changes" in planned.stdout
    follows_the_contract(yaml.safe_load(terraform.output(folder)["ansible_inventory"]))
    holds_no_secret(name, (terraform.tree / folder / "terraform.tfstate").read_text())


@pytest.mark.long
def test_nor_with_the_next_major_version_of_the_provider(newer, tmp_path):
    test_a_second_plan_finds_nothing_to_do(Terraform(copied(tmp_path), newer), "azure-three-zones")


def follows_the_contract(inventory):
    cluster = inventory["all"]["children"]["relay_cluster"]
    etcd, relay = (set(cluster["children"][group]["hosts"]) for group in ("etcd", "relay"))
    hosts = inventory["all"]["hosts"]
    assert etcd | relay == hosts.keys()
    assert len(etcd) % 2 == 1
    assert len(etcd) >= 3
    for name, variables in hosts.items():
        assert variables["relay_node_name"] == name
        assert variables.keys() == {"ansible_host", "relay_node_name", "relay_site"}
    assert cluster["vars"]["relay_cluster_name"] == "corp-mail"
    sites = {hosts[name]["relay_site"] for name in relay}
    for one in cluster["vars"]["relay_addresses"]:
        assert one["address"].endswith("/32")
        assert one["driver"] in {"netlink", "probe", "hook"}
        assert one["site"] in sites
        assert ("probe" in one) == (one["driver"] == "probe")


def holds_no_secret(name, state):
    assert PASSWORD not in state
    assert "PRIVATE KEY" not in state
    assert (WEBHOOK in state) == (name == "azure-three-zones"), "the one thing the guide says is there"


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_relay_takes_the_cluster_of_the_inventory(terraform, tmp_path, name):
    cluster = yaml.safe_load(terraform.output(applied(terraform, name))["ansible_inventory"])["all"]
    hosts, groups = cluster["hosts"], cluster["children"]["relay_cluster"]
    nodes = {
        n: {"site": hosts[n]["relay_site"], "address": hosts[n]["ansible_host"]}
        for n in groups["children"]["relay"]["hosts"]
    }
    config = TENANT_AND_CLIENTS | {
        "cluster": {
            "name": groups["vars"]["relay_cluster_name"],
            "nodes": nodes,
            "etcd": [hosts[n]["ansible_host"] for n in groups["children"]["etcd"]["hosts"]],
            "pki": "/etc/m365-relay/pki",
        },
        "virtual_addresses": {
            one.pop("name"): one | {"address": one["address"].removesuffix("/32")}
            for one in groups["vars"]["relay_addresses"]
        },
    }
    (tmp_path / "relay.yaml").write_text(yaml.safe_dump(config))
    settings = load(tmp_path / "relay.yaml", here=False, node_name=next(iter(nodes))).settings
    assert settings.cluster.nodes.keys() == nodes.keys()
    assert len(settings.virtual_addresses) == len(groups["vars"]["relay_addresses"])


def test_the_witness_is_a_member_and_no_relay(terraform):
    folder = applied(terraform, "two-datacenters-witness")
    groups = yaml.safe_load(terraform.output(folder)["ansible_inventory"])["all"]["children"]["relay_cluster"][
        "children"
    ]
    assert set(groups["etcd"]["hosts"]) - set(groups["relay"]["hosts"]) == {"etcd-w"}


def test_exchange_is_told_what_relayctl_m365_setup_says(terraform, tmp_path):
    folder = applied(terraform, "vsphere-three-hosts")
    told = terraform.output(folder)
    app = {"client_id": told["client_id"], "certificate": {"credential": "app"}}
    config = TENANT_AND_CLIENTS | {"tenant": TENANT_AND_CLIENTS["tenant"] | {"app": app}}
    (tmp_path / "relay.yaml").write_text(yaml.safe_dump(config))
    settings = load(tmp_path / "relay.yaml", here=False).settings
    said = {line for step in steps_for(settings, next(iter(settings.tenants))) for line in step.commands if line}
    ours = {line for line in told["exchange_commands"].splitlines() if not line.startswith("#")}
    unknown = {line.replace("<OBJECT ID OF THE ENTERPRISE APPLICATION>", told_object_id(ours)) for line in said}
    assert ours <= unknown, "word for word"
    assert any("New-ManagementRoleAssignment" in line for line in ours)
    roles = {line for line in unknown if line.startswith("New-ManagementRoleAssignment")}
    assert roles <= ours, "no role is missing"


def told_object_id(lines):
    return next(line for line in lines if line.startswith("New-ServicePrincipal")).split("-ObjectId '")[1].split("'")[0]
