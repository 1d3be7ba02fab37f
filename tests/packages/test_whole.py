"""The whole .deb, with every wheel of the lock, on a machine without a network: a copy of this one, in a namespace."""

import shutil

import pytest

from packages.__main__ import make
from packages.target import BuildError, target
from tests.ansible.lab import default_home

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1800),  # wheels are downloaded once for a lock; packing takes minutes on a busy machine
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb"),
]
EXAMPLE = "/usr/share/doc/m365-relay/examples/relay.yaml"
SPOOL, HOME = "/var/lib/m365-relay", "/etc/m365-relay"


def test_it_installs_checks_a_configuration_goes_and_asks(scratch, tmp_path):
    try:
        (deb,) = make(target(), ["deb"], tmp_path / "dist", default_home().parent / "m365-relay-wheels")
    except BuildError as error:
        if "pip download" in str(error):
            pytest.skip(f"the wheels cannot be downloaded here: {str(error)[-300:]}")
        raise

    def alone(command: str) -> str:
        return scratch.fine("unshare", "--net", "bash", "-c", command)

    assert [line.split(":")[1].strip() for line in alone("ip -o link").splitlines()] == ["lo"], "it has a network"
    assert "installed, not started" in alone(f"dpkg -i {scratch.put(deb)}")
    assert alone("dpkg --audit; dpkg --verify m365-relay") == ""
    alone(f"cp {EXAMPLE} {HOME}; (umask 027; echo secret > {HOME}/app-secret)")
    assert "fine; 1 tenant" in alone("relayctl config check")
    alone(f"install -d -o m365-relay -m 0700 {SPOOL}; echo mail > {SPOOL}/spool.db; dpkg -r m365-relay")
    assert not scratch.exists("/usr/lib/m365-relay")
    for answer, kept in (("no", True), ("yes", False)):
        asked = alone(f"printf '{answer}\\n' | DEBIAN_FRONTEND=teletype dpkg -P m365-relay")
        assert "Delete the relay's mail" in asked
        assert [scratch.exists(place) for place in (f"{SPOOL}/spool.db", f"{HOME}/relay.yaml")] == [kept, kept]
        alone(f"dpkg -i {scratch.put(deb)}; dpkg -r m365-relay")
