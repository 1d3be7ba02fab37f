"""``relayctl m365``: the steps and the check as an operator runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.settings_files import PRODUCTION, SMALLEST
from tests.support.simulated import Simulated, directory
from tests.support.world import settings, unshared, wide

ROOT = Path(__file__).parents[2]


def relayctl(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "node", "m365", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL, env=os.environ,
    )  # fmt: skip


def test_setup_prints_the_steps_and_changes_nothing():
    done = relayctl("setup", "--config", SMALLEST)
    assert done.returncode == 0, done.stderr
    assert "New-ManagementRoleAssignment -Role 'Application SMTP.SendAsApp'" in done.stdout
    assert "relay2@contoso.com" in done.stdout


def test_setup_of_one_tenant_as_json():
    done = relayctl("setup", "--config", PRODUCTION, "--tenant", "contoso", "--json")
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["contoso"]
    assert {"title", "where", "why", "commands", "steps"} <= steps[0].keys()
    assert relayctl("setup", "--config", PRODUCTION, "--tenant", "fabrikam").returncode == 2


@pytest.mark.timeout(600)
def test_check_names_what_is_wrong_and_ends_with_one(tmp_path):
    plain = directory(["relay1", "relay2"], timing={"time_scale": 100.0})
    plain["tenants"]["8f2c1a0e-0000-4000-8000-000000000000"]["mailboxes"]["relay2@contoso.com"]["smtp_auth"] = False
    with Simulated(tmp_path / "sim", plain) as cloud:
        file = tmp_path / "relay.yaml"
        config = settings(cloud, tmp_path, wide("relay1", "relay2"))
        config["tenant"]["cloud"]["graph"] = cloud.ready["graph"]
        file.write_text(yaml.safe_dump(unshared(config)))
        done = relayctl("check", "--config", file)
        assert done.returncode == 1, done.stderr
        assert "submission relay1@contoso.com, send as itself" in done.stdout
        assert "switched off for this mailbox" in done.stdout
        assert "Set-CASMailbox -Identity relay2@contoso.com" in done.stdout
        found = json.loads(relayctl("check", "--config", file, "--no-send", "--json").stdout)
        assert {one["grade"] for one in found if one["subject"] == "submission relay2@contoso.com"} == {"bad"}
        assert cloud.stats()["messages"]["accepted"] == 1, "only the first run sent, and only one account could"
