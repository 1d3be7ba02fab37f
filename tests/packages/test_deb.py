"""The .deb, installed, upgraded, removed and purged by the real dpkg in a copy of this machine that is thrown away."""

import shutil
import subprocess

import pytest

from packages import deb
from packages.units import CONFIGURATION
from tests.packages.conftest import TARGET, staged

pytestmark = [
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb"),
    pytest.mark.timeout(600),  # seconds on a quiet machine
]
MESSAGE = "/var/lib/m365-relay/spool.db"
EXAMPLE = "/usr/share/doc/m365-relay/examples/relay.yaml"
SECRET = "/etc/m365-relay/app-secret"
KEY = "/etc/m365-relay/pki/node.key"
RELAY = "/etc/m365-relay/relay.yaml"
QUESTION = "m365-relay m365-relay/purge-data boolean true"


def field(file, name):
    return subprocess.run(["dpkg-deb", "-f", file, name], capture_output=True, text=True, check=True).stdout.strip()


def test_two_builds_are_the_same(tmp_path):
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        root = staged(tmp_path / name / "root")
        (root / "usr").chmod(0o700)  # whoever builds may have another umask
        made.append(deb.build(root, TARGET, tmp_path / name).read_bytes())
    assert made[0] == made[1]


def test_it_says_what_it_needs_and_which_files_are_the_administrators(debs):
    assert f"python{TARGET.python}," in field(debs[0], "Depends")
    listed = subprocess.run(["dpkg-deb", "--ctrl-tarfile", debs[0]], capture_output=True, check=True).stdout
    conffiles = subprocess.run(["tar", "-xO", "./conffiles"], input=listed, capture_output=True, check=True).stdout
    assert tuple(conffiles.decode().split()) == CONFIGURATION


def test_no_file_is_anybodys_but_roots_or_writable_by_others(debs):
    listed = subprocess.run(["dpkg-deb", "-c", debs[0]], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        modes, owner = line.split()[:2]
        assert owner == "root/root", line
        assert modes[0] == "l" or (modes[5] == "-" and modes[8] == "-"), line


@pytest.fixture
def installed(scratch, debs):
    """The first version, with mail and a key."""
    scratch.fine("dpkg", "-i", scratch.put(debs[0]))
    scratch.write(KEY, "secret")
    scratch.fine("install", "-d", "-o", "m365-relay", "-m", "0700", "/var/lib/m365-relay")
    scratch.write(MESSAGE, "mail")
    return scratch


def test_a_fresh_host_has_user_directories_and_command(installed):
    assert installed.fine("stat", "-c", "%U:%G %a", "/etc/m365-relay").split() == ["root:m365-relay", "750"]
    assert installed.fine("stat", "-c", "%U %a", "/run/m365-relay").split() == ["m365-relay", "700"]
    assert installed.fine("dpkg", "--verify", "m365-relay") == ""
    assert not installed.exists("/etc/systemd/system/multi-user.target.wants/relay-node.service")
    installed.fine("cp", EXAMPLE, RELAY)
    installed.write(SECRET, "secret")
    assert "fine; 1 tenant" in installed.fine("relayctl", "config", "check")


def test_an_upgrade_keeps_mail_and_what_the_administrator_changed(installed, debs):
    installed.write(CONFIGURATION[0], "net.core.somaxconn = 1024\n")
    installed.fine("dpkg", "-i", installed.put(debs[1]))
    assert installed.fine("cat", CONFIGURATION[0]) == "net.core.somaxconn = 1024\n"
    assert installed.fine("cat", MESSAGE, KEY) == "mailsecret"
    assert installed.fine("dpkg-query", "-W", "-f", "${Version}", "m365-relay") == "0.1.1"


def test_a_configuration_with_faults_is_named_and_stops_no_upgrade(installed, debs):
    installed.write(RELAY, "nonsense: 1\n")
    said = installed.fine("dpkg", "-i", installed.put(debs[1]))
    assert "nonsense" in said
    assert f"{RELAY} cannot be used by this version" in said
    assert (
        installed.fine("dpkg-query", "-W", "-f", "${Version} ${Status}", "m365-relay") == "0.1.1 install ok installed"
    )


def test_a_removal_keeps_mail_and_keys_and_can_be_taken_back(installed, debs):
    installed.fine("dpkg", "-r", "m365-relay")
    assert not installed.exists("/usr/lib/m365-relay")
    assert not installed.exists("/usr/bin/relayctl")
    assert installed.fine("cat", MESSAGE, KEY) == "mailsecret"
    installed.fine("dpkg", "-i", installed.put(debs[0]))
    assert installed.exists("/usr/lib/m365-relay")
    assert installed.fine("cat", MESSAGE, KEY) == "mailsecret"


def test_a_purge_that_nobody_answers_keeps_mail_and_says_where(installed):
    said = installed.fine("dpkg", "-P", "m365-relay")
    assert "m365-relay: kept: /var/lib/m365-relay /etc/m365-relay" in said
    assert installed.fine("cat", MESSAGE, KEY) == "mailsecret"
    assert not installed.exists(CONFIGURATION[0])


def test_a_purge_deletes_what_it_was_told_to(installed):
    installed.fine("sh", "-c", 'echo "$0" | debconf-set-selections', QUESTION)
    assert "kept" not in installed.fine("dpkg", "-P", "m365-relay")
    for directory in ("/var/lib/m365-relay", "/etc/m365-relay", "/usr/lib/m365-relay"):
        assert not installed.exists(directory)


@pytest.mark.parametrize(("answer", "kept"), [("yes", False), ("no", True)])
def test_a_purge_after_a_removal_still_asks(installed, answer, kept):
    """As a person answers: debconf's plainest front end, which reads lines."""
    installed.fine("dpkg", "-r", "m365-relay")
    ask = f"printf '{answer}\\n' | DEBIAN_FRONTEND=teletype dpkg -P m365-relay"
    assert "Delete the relay's mail" in installed.fine("sh", "-c", ask)
    assert installed.exists(MESSAGE) == kept


def test_a_host_of_the_role_is_left_alone(scratch, debs):
    scratch.write("/etc/systemd/system/relay-node.service", "")
    scratch.fine("mkdir", "-p", "/opt/m365-relay/current")
    done = scratch.run("dpkg", "-i", scratch.put(debs[0]))
    assert done.returncode
    assert "was installed with Ansible" in done.stdout
