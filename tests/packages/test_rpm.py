"""The .rpm, installed by the real rpm in a copy of this machine that is thrown away, into a database of its own.

No Red Hat host was tried: what Debian has of rpm says that the file is sound and its scripts run.
"""

import shutil

import pytest

from packages import rpm
from packages.units import CONFIGURATION
from tests.packages.conftest import NEWER, TARGET, staged

pytestmark = [
    pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="needs rpmbuild (package rpm)"),
    pytest.mark.timeout(600),  # seconds on a quiet machine
]
RPM = ("rpm", "--nodeps")
"""Debian's rpm knows no package of this machine, so nothing that is needed is there for it."""
RELAY = "/etc/m365-relay/relay.yaml"
MESSAGE = "/var/lib/m365-relay/spool.db"


@pytest.fixture(scope="module")
def rpms(tmp_path_factory):
    to = tmp_path_factory.mktemp("rpms")
    return [rpm.build(staged(to / f"root-{target.version}", target), target, to) for target in (TARGET, NEWER)]


@pytest.fixture
def installed(scratch, rpms):
    scratch.fine(*RPM, "-i", scratch.put(rpms[0]))
    scratch.fine("cp", "/usr/share/doc/m365-relay/examples/relay.yaml", RELAY)
    scratch.write("/etc/m365-relay/app-secret", "secret")
    scratch.write(MESSAGE, "mail")
    return scratch


def test_two_builds_are_the_same(rpms, tmp_path):
    assert rpm.build(staged(tmp_path / "root"), TARGET, tmp_path).read_bytes() == rpms[0].read_bytes()


def test_it_holds_what_the_deb_holds_and_needs_little(rpms, scratch):
    file = scratch.put(rpms[0])
    held = set(scratch.fine("rpm", "-qlp", file).split())
    assert {"/usr/bin/relayctl", "/usr/lib/systemd/system/relay-node.service", *CONFIGURATION} <= held
    assert tuple(scratch.fine("rpm", "-qcp", file).split()) == CONFIGURATION
    needed = scratch.fine("rpm", "-qRp", file)
    assert f"/usr/bin/python{TARGET.python}\n" in needed
    assert ".so" not in needed  # every library is inside
    owners = scratch.fine("rpm", "-qp", "--queryformat", "[%{FILEUSERNAME}:%{FILEGROUPNAME}\n]", file)
    assert set(owners.split()) == {"root:root"}


def test_it_installs_and_checks_a_configuration(installed):
    assert installed.fine("stat", "-c", "%U:%G %a", "/etc/m365-relay").split() == ["root:m365-relay", "750"]
    assert "fine; 1 tenant" in installed.fine("relayctl", "config", "check")
    assert installed.fine("rpm", "-V", "--nodeps", "m365-relay") == ""


def test_an_upgrade_keeps_what_is_the_administrators_and_passes_over_a_bad_configuration(installed, rpms):
    installed.write(CONFIGURATION[0], "net.core.somaxconn = 1024\n")
    installed.write(RELAY, "nonsense: 1\n")
    said = installed.fine(*RPM, "-U", installed.put(rpms[1]))
    assert "cannot be used by this version" in said
    assert installed.fine("cat", CONFIGURATION[0]) == "net.core.somaxconn = 1024\n"
    assert installed.fine("rpm", "-q", "m365-relay").startswith("m365-relay-0.1.1-1")
    assert installed.exists("/usr/lib/m365-relay/current/bin/relayctl")


def test_a_removal_keeps_mail_and_configuration(installed):
    installed.fine("rpm", "-e", "m365-relay")
    assert not installed.exists("/usr/lib/m365-relay")
    assert installed.fine("cat", MESSAGE) == "mail"
    assert installed.exists(RELAY)


def test_a_host_of_the_role_is_left_alone(scratch, rpms):
    scratch.write("/etc/systemd/system/relay-node.service", "")
    scratch.fine("mkdir", "-p", "/opt/m365-relay/current")
    done = scratch.run(*RPM, "-i", scratch.put(rpms[0]))
    assert "was installed with Ansible" in done.stdout
    assert not scratch.exists("/usr/lib/m365-relay")
