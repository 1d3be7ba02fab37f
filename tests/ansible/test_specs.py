"""Argument specifications say what roles take, and say the same as their defaults."""

import json

import pytest
import yaml

from tests.ansible.support import COLLECTION, ROLES, read


def specs(role: str) -> dict:
    return read(COLLECTION / "roles" / role / "meta/argument_specs.yml")["argument_specs"]


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_of_the_specification(role):
    defaults, options = read(COLLECTION / "roles" / role / "defaults/main.yml"), specs(role)["main"]["options"]
    specified = {name: option["default"] for name, option in options.items() if "default" in option}
    assert defaults == specified


@pytest.mark.parametrize("role", ROLES)
def test_what_has_no_default_must_be_given(role):
    for entry in specs(role).values():
        for name, option in entry["options"].items():
            assert ("default" in option) != option.get("required", False), f"{role}: {name}"


@pytest.mark.parametrize("role", ROLES)
def test_every_option_is_described_and_named_after_its_role(role):
    for entry in specs(role).values():
        for name, option in entry["options"].items():
            assert name.startswith(f"{role}_")
            assert option["description"]
            assert option["type"]


@pytest.mark.parametrize("role", ROLES)
def test_entry_points_are_task_files(role):
    for entry in specs(role):
        assert (COLLECTION / "roles" / role / "tasks" / f"{entry}.yml").exists(), f"{role}: {entry}"


def test_playbooks_enter_roles_where_something_is_specified():
    for playbook in (COLLECTION / "playbooks").glob("*.yml"):
        for play in yaml.safe_load(playbook.read_text()):
            for task in play.get("tasks", []):
                entered = task.get("ansible.builtin.include_role")
                if entered:
                    role = entered["name"].removeprefix("m365_relay.relay.")
                    assert (COLLECTION / "roles" / role / "tasks" / f"{entered.get('tasks_from', 'main')}.yml").exists()


def test_version_is_that_of_the_product():
    product = (COLLECTION.parent / "pyproject.toml").read_text()
    assert f'version = "{read(COLLECTION / "galaxy.yml")["version"]}"' in product


def tasks_of(file):
    """Give the tasks of a file, those in blocks too."""
    waiting = list(read(file) or [])
    while waiting:
        task = waiting.pop(0)
        waiting += [inner for part in ("block", "rescue", "always") for inner in task.get(part, [])]
        yield task


def test_units_are_read_whenever_one_is_started():
    """A run may break off after a unit was written: the next would start the one systemd knows from before."""
    files = [*(COLLECTION / "roles").glob("*/tasks/*.yml"), *(COLLECTION / "roles").glob("*/handlers/*.yml")]
    for file in files:
        for task in tasks_of(file):
            how = task.get("ansible.builtin.systemd_service", {})
            if str(how.get("state")) in {"started", "restarted"} or "'started'" in str(how.get("state")):
                assert how.get("daemon_reload") is True, f"{file}: {task['name']}"


@pytest.mark.parametrize("name", ["site", "add_node", "replace_node", "restore"])
def test_the_packet_filter_knows_new_hosts_before_they_ask_for_anything(name):
    plays = read(COLLECTION / f"playbooks/{name}.yml")
    at = [play.get("import_playbook") for play in plays].index("firewall.yml")
    before = json.dumps(plays[:at])
    assert "m365_relay.relay.etcd" not in before
    assert "etcd.yml" not in before
    assert "relays.yml" not in before
