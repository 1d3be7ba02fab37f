"""Playbooks and templates as Ansible reads them: syntax, lint, and what they make of the example inventory."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.ansible.support import COLLECTION, EXAMPLE, PLAYBOOKS, REPOSITORY

pytestmark = pytest.mark.timeout(600)  # Ansible may have to be installed first
HERE = REPOSITORY / "tests/ansible"
EXPOSURE = {"relay-node.service": 1.7, "relay-coordinator.service": 2.1}
"""Most that `systemd-analyze security` may say, of 10."""


def test_every_playbook_can_be_read(ansible):
    done = ansible.run("ansible-playbook", "-i", EXAMPLE, "--syntax-check", *(each for each in PLAYBOOKS))
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr


@pytest.mark.long  # half a minute and more
def test_lint_has_nothing_to_say(ansible):
    done = ansible.run(
        "ansible-lint",
        "--offline",
        "--profile",
        "production",
        "--strict",
        "--nocolor",
        cwd=ansible.collection,
        timeout_s=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def rendered(ansible):
    to = ansible.work / "rendered"
    (to / "opt/current/bin").mkdir(parents=True)
    for name in ("relay-node", "relay-coordinator", "relayctl"):
        shutil.copy("/bin/true", to / "opt/current/bin" / name)
    elsewhere = f"render_to={to} collection={COLLECTION} relay_home={to}/opt relay_user=daemon"
    ansible.play(HERE / "render.yml", EXAMPLE, "-e", elsewhere).fine()
    return to


@pytest.mark.parametrize("host", ["relay-a", "relay-c"])
def test_the_configuration_is_one_the_product_takes(rendered, host, tmp_path):
    shutil.copy(rendered / host / "relay.yaml", tmp_path / "relay.yaml")
    (tmp_path / "clients.d").mkdir()
    (tmp_path / "clients.d/apps.yaml").write_text(
        'apps: {networks: [10.1.0.0/16], senders: ["*@contoso.com"], owner: it@contoso.com}\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "node", "config", "check", "--elsewhere", "--node", host, str(tmp_path / "relay.yaml")],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_is_the_same_on_all(rendered):
    assert len({(rendered / host / "relay.yaml").read_text() for host in ("relay-a", "relay-b", "relay-c")}) == 1


def test_each_directory_stands_on_a_line_of_its_own(rendered):
    lines = (rendered / "relay-a/tmpfiles.conf").read_text().splitlines()
    wanted = [line.split() for line in lines if not line.startswith("#")]
    assert {"/etc/m365-relay/staged", "/run/m365-relay"} <= {words[1] for words in wanted}
    assert [words for words in wanted if len(words) != 6] == []  # type, path, mode, user, group, age


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", EXPOSURE)
def test_units_are_sound_and_sandboxed(rendered, unit):
    file = rendered / "relay-a" / unit
    verified = _analyze("verify", "--man=no", "--recursive-errors=no", str(file))
    said = [line for line in verified.stderr.splitlines() if unit in line]
    assert not said, verified.stderr
    judged = _analyze("security", "--offline=true", f"--threshold={EXPOSURE[unit] * 10:.0f}", str(file))
    assert judged.returncode == 0, judged.stdout + judged.stderr


def _analyze(*words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    return subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
