"""What others' programs say: checkov about the security of modules and plans, Ansible about the inventory."""

import json
import re
import subprocess

import pytest

from tests.terraform.checkers import installed
from tests.terraform.inputs import EXAMPLES
from tests.terraform.offline.terraform import TREE

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def checkov(tmp_path_factory):
    path, why = installed("checkov", tmp_path_factory.mktemp("checkov"))
    if path is None:
        pytest.skip(why)

    def run(folder, *arguments):
        command = [path, *arguments, "--output", "json", "--skip-download", "--quiet"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def ansible_inventory(tmp_path_factory):
    path, why = installed("ansible-inventory", tmp_path_factory.mktemp("ansible"))
    if path is None:
        pytest.skip(why)

    def run(file):
        command = [path, "--inventory", str(file), "--list"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=file.parent)
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr, done.stderr
        return json.loads(done.stdout)

    return run


def given(terraform, name):
    folder = f"examples/{name}"
    (terraform.tree / folder / "given.tfvars.json").write_text(json.dumps(EXAMPLES[name]))
    terraform.init(folder)
    return folder


def test_no_finding_in_the_modules_without_a_reason(terraform, checkov):
    told = checkov(terraform.tree, "--directory", ".", "--framework", "terraform")
    assert told["summary"]["passed"] > 0
    assert [(one["check_id"], one["resource"]) for one in told["results"]["failed_checks"]] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_finding_in_a_plan_without_a_reason(terraform, checkov, name):
    folder = given(terraform, name)
    terraform.must(folder, "plan", "-out=plan.bin", "-input=false", "-var-file=given.tfvars.json")
    (terraform.tree / folder / "plan.json").write_text(terraform.must(folder, "show", "-json", "plan.bin"))
    enriched = ["--repo-root-for-plan-enrichment", str(terraform.tree)]
    told = checkov(terraform.tree / folder, "--file", "plan.json", "--framework", "terraform_plan", *enriched)
    failed = told["results"]["failed_checks"] if "results" in told else []
    assert [(one["check_id"], one["resource"]) for one in failed] == []


def test_every_skipped_check_has_a_reason():
    text = "".join(file.read_text() for file in TREE.rglob("*.tf"))
    skipped = re.findall(r"checkov:skip=(\S+?)(?::\s*(.*))?$", text, re.MULTILINE)
    assert skipped
    assert [check for check, reason in skipped if len(reason) < 20] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_ansible_reads_the_inventory(terraform, ansible_inventory, name):
    folder = given(terraform, name)
    terraform.must(folder, "apply", "-auto-approve", "-input=false", "-no-color", "-var-file=given.tfvars.json")
    file = terraform.tree / folder / "inventory.yml"
    file.write_text(terraform.must(folder, "output", "-raw", "ansible_inventory"))
    told = ansible_inventory(file)
    hosts = told["_meta"]["hostvars"]
    members, relays = set(told["etcd"]["hosts"]), set(told["relay"]["hosts"])
    assert set(told["relay_cluster"]["children"]) == {"etcd", "relay"}
    assert members | relays == hosts.keys()
    for name_, variables in hosts.items():
        assert variables["relay_node_name"] == name_
        assert variables["relay_cluster_name"] == "corp-mail"
        assert {"ansible_host", "ansible_user", "relay_site"} <= variables.keys()
        assert all({"name", "address", "site", "driver"} <= one.keys() for one in variables["relay_addresses"])
