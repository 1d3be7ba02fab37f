"""The stand-ins themselves: what they read from the bindings and how they behave between two plans."""

import re

import pytest

from tests.terraform.offline.packages import UnavailableError, schemas, types_used
from tests.terraform.offline.terraform import TREE, Terraform, copied
from tests.terraform.offline.values import UNKNOWN, decode, encode, made_up, opened, unknown

BLOCK = {
    "attributes": {
        "name": {"type": "string", "required": True},
        "id": {"type": "string", "computed": True},
        "zone": {"type": "string", "optional": True},
    },
    "block_types": {
        "disk": {
            "nesting_mode": "list",
            "block": {"attributes": {"uuid": {"type": "string", "computed": True}}, "block_types": {}},
        }
    },
}
GIVEN = {"name": "a", "id": None, "zone": None, "disk": [{"uuid": None}]}


@pytest.fixture(scope="module")
def read():
    try:
        return schemas("older.lock", types_used(TREE))
    except UnavailableError as reason:
        pytest.skip(str(reason))


@pytest.mark.timeout(300)
def test_the_bindings_say_what_the_provider_documents(read):
    machine = read["hashicorp/azurerm"]["resource_schemas"]["azurerm_linux_virtual_machine"]["block"]
    assert machine["attributes"]["zone"]["optional"]
    assert machine["attributes"]["location"] == {"type": "string", "required": True}
    assert machine["attributes"]["network_interface_ids"]["type"] == ["list", "string"]
    assert "required" not in machine["attributes"]["private_ip_addresses"]
    disk = machine["block_types"]["os_disk"]
    assert (disk["nesting_mode"], disk["min_items"], disk["max_items"]) == ("list", 1, 1)
    assert disk["block"]["attributes"]["caching"]["required"]
    template = read["vmware/vsphere"]["data_source_schemas"]["vsphere_virtual_machine"]["block"]
    assert template["attributes"]["disks"]["type"][0] == "list"
    assert template["attributes"]["disks"]["type"][1][1]["size"] == "number"


@pytest.mark.timeout(300)
def test_every_type_in_use_was_found(read):
    found = {name for one in read.values() for name in one["resource_schemas"]}
    found |= {f"data.{name}" for one in read.values() for name in one["data_source_schemas"]}
    assert found == set(types_used(TREE))


def test_a_plan_leaves_open_what_only_the_provider_knows():
    planned = opened(BLOCK, GIVEN)
    assert planned["id"] == UNKNOWN
    assert planned["zone"] is None, "an optional argument that nobody computes stays empty"
    assert unknown(planned["disk"])
    assert decode(encode(planned)) == planned


def test_what_is_made_up_is_whole_and_the_same_each_time():
    first, second = (made_up("azurerm_thing", BLOCK, opened(BLOCK, GIVEN)) for _ in range(2))
    assert first == second
    assert not unknown(first)
    assert re.fullmatch(r"/subscriptions/offline/azurerm_thing/a", first["id"])


def test_without_terraform_the_tests_skip_and_say_why(monkeypatch, tmp_path):
    monkeypatch.setenv("TERRAFORM", str(tmp_path / "none"))
    from tests.terraform.conftest import _attached

    with pytest.raises(pytest.skip.Exception, match="no terraform command"):
        next(_attached("older.lock"))


def test_a_copy_holds_nothing_that_a_run_left_behind(tmp_path):
    tree = copied(tmp_path)
    assert not list(tree.rglob("*.tfstate*"))
    assert Terraform(tree, {}).environment["TF_CLI_CONFIG_FILE"].startswith(str(tree))
