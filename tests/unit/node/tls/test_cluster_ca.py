"""The cluster's own authority: what it makes is accepted by everybody who checks, and nothing of it lies open."""

import ssl
import stat

import pytest
from typer.testing import CliRunner

from coordinator.keys import Keys
from coordinator.pki import Pki
from coordinator.signing import Signer, Verifier
from node.__main__ import app
from node.errors import ConfigurationError
from node.tls.cluster_ca import ClusterAuthority
from tests.support.wishes import wish


def test_files_fit_each_other_and_are_for_their_owner_only(tmp_path):
    authority = ClusterAuthority.create("corp-mail")
    authority.write(tmp_path / "a", "relay-a", addresses=["10.1.0.11", "fd00::11"])
    pki = Pki(tmp_path / "a")
    pki.context(ssl.PROTOCOL_TLS_SERVER)
    pki.check("corp-mail", "relay-a")
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "a").iterdir()} == {0o600}
    assert "key" not in repr(authority).lower()


def test_nodes_sign_with_them(tmp_path):
    authority = ClusterAuthority.create("corp-mail")
    certificate, key = authority.issue("node-a", addresses=["10.1.0.11"])
    place = Keys(cluster="corp-mail").control("pause")
    value = Signer("corp-mail", certificate, key).sign(place, wish())
    assert Verifier("corp-mail", authority.pem, lambda: ("node-a",)).verify(place, value) == wish()


def test_two_nodes_shake_hands_and_a_stranger_does_not(tmp_path):
    authority, stranger = ClusterAuthority.create("corp-mail"), ClusterAuthority.create("corp-mail")
    authority.write(tmp_path / "a", "relay-a", addresses=["10.1.0.11"])
    authority.write(tmp_path / "b", "relay-b", addresses=["10.1.0.12"])
    stranger.write(tmp_path / "x", "relay-b", addresses=["10.1.0.12"])

    def handshake(server: str, client: str) -> None:
        ends = [ssl.MemoryBIO() for _ in range(2)]
        asked = Pki(tmp_path / client).context(ssl.PROTOCOL_TLS_CLIENT)
        asked.check_hostname = False
        answering = Pki(tmp_path / server).context(ssl.PROTOCOL_TLS_SERVER)
        answering.verify_mode = ssl.CERT_REQUIRED
        sides = [
            asked.wrap_bio(ends[0], ends[1]),
            answering.wrap_bio(ends[1], ends[0], server_side=True),
        ]
        for _ in range(4):
            for side in sides:
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        sides[0].do_handshake()
        sides[1].do_handshake()

    handshake("a", "b")
    with pytest.raises(ssl.SSLError):
        handshake("a", "x")


def test_kept_and_read_again(tmp_path):
    made = ClusterAuthority.create("corp-mail")
    made.keep(tmp_path)
    assert ClusterAuthority.read(tmp_path, "corp-mail").pem == made.pem
    with pytest.raises(ConfigurationError, match="not of cluster other"):
        ClusterAuthority.read(tmp_path, "other")
    ClusterAuthority.create("corp-mail").keep(tmp_path / "second")
    (tmp_path / "ca.key").write_bytes((tmp_path / "second" / "ca.key").read_bytes())
    with pytest.raises(ConfigurationError, match="not the key"):
        ClusterAuthority.read(tmp_path, "corp-mail")
    (tmp_path / "ca.key").write_text("nonsense")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ClusterAuthority.read(tmp_path, "corp-mail")


def run(*arguments):
    return CliRunner().invoke(app, ["pki", "make", *map(str, arguments)], catch_exceptions=False)


def test_the_command_makes_an_authority_once_and_certificates_each_time(tmp_path):
    wanted = ("--cluster", "corp-mail", "--node", "relay-a=10.1.0.11", "--node", "relay-b=10.1.0.12")
    assert run(tmp_path, *wanted).exit_code == 0
    first = {name: (tmp_path / name).read_bytes() for name in ("ca.pem", "relay-a/node.pem", "relay-b/node.pem")}
    Pki(tmp_path / "relay-b").check("corp-mail", "relay-b")
    assert run(tmp_path, *wanted).exit_code == 0
    again = {name: (tmp_path / name).read_bytes() for name in first}
    assert [name for name in first if first[name] != again[name]] == ["relay-a/node.pem", "relay-b/node.pem"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--cluster", "x"),
        ("--cluster", "x", "--node", "a"),
        ("--cluster", "x", "--node", "a=nowhere"),
        ("--config", "/none/relay.yaml"),
    ],
)
def test_wrong_use_is_exit_2_and_makes_nothing(tmp_path, arguments):
    found = run(tmp_path / "pki", *arguments)
    assert found.exit_code == 2, found.stderr
    assert not (tmp_path / "pki").exists()
