"""The configuration as its administrator meets it: the program run as a process, its words and its exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.schema_check import problems
from tests.support.settings_files import PRODUCTION, SMALLEST, TENANT, write

ROOT = Path(__file__).parents[2]
FIVE_FAULTS = (
    TENANT.replace("domains:", "domain: [contoso.com]\n  domains:")
    + """\
listeners:
  old: {port: 25, profile: legacy}
plans:
  bulk: {rate: 30 per minute}
clients:
  apps: {networks: [10.1.0.0/16], senders: ["*@contoso.com"], plan: bulks}
  more: {networks: [10.1.0.0/16], senders: ["*@contoso.com"]}
"""
)
PLACES = [
    "3:3: tenant.domain: ",
    "8:3: listeners.old: ",
    "10:10: plans.bulk.rate: ",
    "12:63: clients.apps.plan: ",
    "13:3: clients.more: ",
]


def relayctl(module, *arguments):
    command = [sys.executable, "-m", f"node.cli.{module}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_five_faults_print_five_messages_with_their_places_and_exit_2(tmp_path):
    path = write(tmp_path, FIVE_FAULTS)
    found = relayctl("config", "check", path, "--elsewhere")
    assert found.returncode == 2
    *messages, summary = found.stderr.splitlines()
    assert len(messages) == 5
    for message, place in zip(messages, PLACES, strict=True):
        assert message.startswith(f"{path}:{place}")
    assert summary == f"{path}: 5 faults"


@pytest.mark.parametrize("sample", [SMALLEST, PRODUCTION], ids=lambda path: path.stem)
def test_samples_are_fine(sample):
    found = relayctl("config", "check", sample, "--elsewhere")
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("sample", [SMALLEST, PRODUCTION], ids=lambda path: path.stem)
def test_printed_schema_accepts_the_samples(sample):
    made = json.loads(relayctl("config", "schema").stdout)
    assert problems(yaml.safe_load(sample.read_text()), made, made) == []


def test_wrong_use_exits_2(tmp_path):
    assert relayctl("config", "chekc").returncode == 2
    assert relayctl("config", "check", tmp_path).returncode == 2


def test_a_client_added_can_be_explained(tmp_path):
    (tmp_path / "clients.d").mkdir()
    path = write(tmp_path, TENANT + "clients_from: clients.d\n")
    made = relayctl("clients", "add", "hr", "--sender", "hr@contoso.com", "--config", path, "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["user"] == "hr"
    asked = relayctl("clients", "explain", "10.1.2.3", "hr@contoso.com", "--user", "hr", "--config", path, "--json")
    assert asked.returncode == 0
    assert json.loads(asked.stdout)["client"] == "hr"
