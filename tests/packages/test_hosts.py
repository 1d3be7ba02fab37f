"""Packages as `make packages` builds them, on a host that boots systemd and has no way out.

Built once with every wheel of the lock; installed, configured, started, upgraded, cut off from power, removed, purged.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from packages.__main__ import KINDS, make
from packages.target import BuildError, target
from packages.units import UNITS
from tests.ansible.lab import Lab, default_home
from tests.ansible.lab_base import REASON, USABLE
from tests.packages.test_units import EXPOSURE
from tests.support.world import until

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(3600),  # the base system, the wheels and the packages may all have to be made first
    pytest.mark.skipif(not USABLE, reason=REASON),
    pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="needs rpmbuild"),
]
HOST, NET = "pack", 7
EXAMPLE = "/usr/share/doc/m365-relay/examples/relay.yaml"
RELAY, SECRET = "/etc/m365-relay/relay.yaml", "/etc/m365-relay/app-secret"
SPOOL = "/var/lib/m365-relay"
SEND = """
import smtplib, sys
with smtplib.SMTP(sys.argv[1], 25, timeout=60) as smtp:
    smtp.ehlo("app.test")
    data = b"From: app@contoso.com\\r\\nTo: bob@example.com\\r\\nSubject: kept\\r\\n\\r\\ntext\\r\\n"
    for code, text in (smtp.mail("app@contoso.com"), smtp.rcpt("bob@example.com"), smtp.data(data)):
        assert code == 250, text
print(text.decode().split()[-1])
"""
SEEN = """
import sys
import coordinator.__main__, node.app.run, node.cli
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "")
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    """Every kind, with all wheels; those are downloaded once for a lock."""
    to = tmp_path_factory.mktemp("dist")
    try:
        made = make(target(), KINDS, to, default_home().parent / "m365-relay-wheels")
    except BuildError as error:
        if "pip download" in str(error):
            pytest.skip(f"the wheels cannot be downloaded here: {str(error)[-300:]}")
        raise
    return dict(zip(KINDS, made, strict=True))


@pytest.fixture(scope="module")
def lab():
    made = Lab()
    made.up(HOST, net=NET)
    yield made
    made.destroy(HOST)


class Machine:
    """The host, as whoever administers it sees it."""

    def __init__(self, lab: Lab):
        self.lab = lab

    def fine(self, command: str) -> str:
        return self.lab.ssh(HOST, command, timeout=600).stdout

    def code(self, command: str) -> int:
        return self.lab.ssh(HOST, command, check=False, timeout=600).returncode

    def install(self, deb: Path) -> str:
        self.lab.put(HOST, deb, f"/root/{deb.name}")
        return self.fine(f"dpkg -i /root/{deb.name} 2>&1")

    def ready(self) -> bool:
        said = self.lab.ssh(HOST, "relayctl status --json", check=False)
        return said.returncode in (0, 1) and json.loads(said.stdout or "{}").get("readiness", {}).get("ready", False)

    def held(self, queue_id: str) -> bool:
        return queue_id in self.fine("relayctl queue list --json")

    def mail(self) -> str:
        """Hand in a message from the network; its queue id."""
        command = [*self.lab.hub, "python3", "-c", SEND, self.lab.hosts[HOST].address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def machine(built, lab) -> Machine:
    """Installed, configured as its README says, and started."""
    made = Machine(lab)
    assert made.code("timeout 5 bash -c '</dev/tcp/1.1.1.1/443'"), "the host has a network"
    said = made.install(built["deb"])
    assert "installed, not started" in said
    made.fine(f"sed s,10.1.0.0/16,10.79.0.0/16, {EXAMPLE} > {RELAY} && echo secret > {SECRET}")
    made.fine(f"chown root:m365-relay {RELAY} {SECRET} && chmod 0640 {RELAY} {SECRET}")
    assert "fine; 1 tenant" in made.fine("relayctl config check")
    made.fine("systemctl enable --now relay-node")
    until(made.ready, 60)
    return made


def test_the_database_of_packages_is_content(machine):
    assert machine.fine("dpkg --audit") == ""
    assert machine.fine("dpkg --verify m365-relay") == ""


def test_everything_it_imports_came_with_it(machine):
    """No library of the host's is used, and none is missing."""
    machine.lab.write(HOST, "/root/seen.py", SEEN)
    listed = machine.fine("/usr/lib/m365-relay/current/bin/python -I /root/seen.py").splitlines()
    assert any(line.startswith("/usr/lib/m365-relay/") and "/pydantic/" in line for line in listed)
    assert [line for line in listed if "/dist-packages/" in line] == []


def test_it_takes_mail_and_its_unit_is_as_exposed_as_was_promised(machine):
    assert machine.held(machine.mail())
    for unit in UNITS:
        said = machine.fine(f"systemd-analyze security --no-pager {unit}")
        level = float(said.split("Overall exposure level for")[1].split(":")[1].split()[0])
        print(f"\n{unit}: exposure {level}")
        assert level * 10 <= EXPOSURE[unit]


def test_an_upgrade_stops_starts_and_keeps_mail(machine, built):
    queue_id, before = machine.mail(), machine.fine("systemctl show -P MainPID relay-node")
    machine.install(built["deb"])
    until(machine.ready, 60)
    assert machine.fine("systemctl show -P MainPID relay-node") != before
    assert machine.held(queue_id)


def test_power_that_fails_loses_nothing_and_it_starts_by_itself(machine):
    queue_id = machine.mail()
    machine.lab.kill(HOST)
    machine.lab.start(HOST)
    until(machine.ready, 60)
    assert machine.held(queue_id)


def test_a_removal_keeps_the_spool_and_can_be_taken_back(machine, built):
    queue_id = machine.mail()
    machine.fine("dpkg -r m365-relay 2>&1")
    assert machine.code("systemctl is-active relay-node")
    assert machine.code("command -v relayctl")
    assert machine.fine(f"ls {SPOOL}")
    machine.install(built["deb"])
    until(machine.ready, 60)
    assert machine.held(queue_id)


def test_a_purge_asks(machine, built):
    machine.fine("dpkg -r m365-relay 2>&1")
    for answer, kept in (("no", True), ("yes", False)):
        said = machine.fine(f"printf '{answer}\\n' | DEBIAN_FRONTEND=teletype dpkg -P m365-relay 2>&1")
        assert "Delete the relay's mail" in said
        for place in (SPOOL, "/etc/m365-relay/relay.yaml"):
            assert (machine.code(f"test -e {place}") == 0) is kept, (answer, place)
        machine.install(built["deb"])
        machine.fine("dpkg -r m365-relay 2>&1")


def test_the_same_commit_makes_the_same_packages(built, tmp_path):
    again = dict(zip(KINDS, make(target(), KINDS, tmp_path, default_home().parent / "m365-relay-wheels"), strict=True))
    for kind, file in built.items():
        assert file.read_bytes() == again[kind].read_bytes(), kind
