"""``relayctl login`` against a running node: by browser and provider to a token on this machine, and out again."""

import json
import os
import ssl
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
import trustme

from tests.support.oidc_issuer import issuer
from tests.support.ports import free_ports
from tests.support.relay import RelayProcess
from tests.support.simulated import DOMAIN

NOWHERE = {
    "hostname": "localhost",
    "listeners": {"smtp": {"port": 0, "address": "127.0.0.1", "auth": "none", "tls": "none"}},
    "tenant": {
        "id": "t.example", "domains": [DOMAIN], "smarthost": {"host": "127.0.0.1", "port": 1, "tls": "none"},
    },
    "routes": {"internal": ["smarthost"], "external": ["smarthost"]},
    "clients": {"apps": {"networks": ["127.0.0.0/8"], "senders": [f"*@{DOMAIN}"]}},
    "intake": {"processes": 1},
    "limits": {"disk_free_low": "1MiB", "disk_free_high": "2MiB"},
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("login")
    ca, ca_file = trustme.CA(), home / "ca.pem"
    ca.cert_pem.write_to_path(ca_file)
    issued, key = ca.issue_cert("localhost"), home / "key.pem"
    issued.cert_chain_pems[0].write_to_path(home / "cert.pem")
    key.touch(mode=0o600)
    key.write_bytes(issued.private_key_pem.bytes())
    (port,) = free_ports(1)
    base = f"https://localhost:{port}"
    with issuer(ca, [f"{base}/v1/oidc/callback"]) as provider:
        admin = {
            "port": port,
            "certificate": {"certificate": str(home / "cert.pem"), "key": {"file": str(key)}},
            "oidc": {"issuer": provider.url, "roles": {"relay-ops": "operator"}},
        }
        with RelayProcess(home / "node", {**NOWHERE, "admin": admin, "egress": {"ca": str(ca_file)}}) as node:
            yield node, provider, base, ca_file


def ctl(home: Path, *args: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "node", *args], cwd=home, env=environment(home), capture_output=True, text=True,
        timeout=300, check=False, **more,
    )  # fmt: skip


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "RELAY_SOCKET"}
    root = str(Path(__file__).parents[2])
    return {**kept, "XDG_STATE_HOME": str(home / "state"), "PYTHONPATH": root, "PYTHONUNBUFFERED": "1"}


def browse(url: str, ca: Path) -> str:
    """Follow a browser's way through node, provider and back to this machine."""
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca))),
        urllib.request.HTTPCookieProcessor(CookieJar()),
    )
    with opener.open(url, timeout=60) as answer:
        return answer.read().decode()


def begun(home: Path, base: str, ca: Path) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "node", "login", base, "--ca", str(ca), "--no-browser"],
        cwd=home, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    return process, process.stdout.readline().strip()


def test_somebody_signs_in_acts_and_signs_out(world, tmp_path):
    node, _, base, ca = world
    process, where = begun(tmp_path, base, ca)
    assert where.startswith(f"{base}/v1/oidc/begin?port="), process.stderr.read()
    assert browse(where, ca) == "Signed in. This page can be closed.\n"
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert f"signed in at {base} as oidc:anna@contoso.com, operator, until" in out
    kept = tmp_path / "state" / "m365-relay" / "login.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    token = json.loads(kept.read_text())["token"]
    assert token not in out + err + node.log.read_text()
    seen = ctl(tmp_path, "status", "--json")
    assert json.loads(seen.stdout)["node"] == node.status()["node"], seen.stderr
    wanted = ctl(tmp_path, "account", "park", "contoso/smarthost", "--reason", "by anna")
    assert wanted.returncode == 0, wanted.stderr
    assert "oidc:anna@contoso.com" in node.ctl("audit", "list", "--directory", str(node.home / "spool/audit")).stdout
    assert ctl(tmp_path, "logout").returncode == 0
    assert not kept.exists()
    refused = urllib.request.Request(f"{base}/v1/status", headers={"Authorization": f"Bearer {token}"})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(refused, context=ssl.create_default_context(cafile=str(ca)), timeout=60)


def test_who_has_no_role_is_told_in_the_browser_and_nothing_is_kept(world, tmp_path):
    _, provider, base, ca = world
    provider.change = {"groups": ["others"]}
    process, where = begun(tmp_path, base, ca)
    try:
        with pytest.raises(urllib.error.HTTPError, match="403") as caught:
            browse(where, ca)
        assert "no group or role of anna@contoso.com has a role here" in caught.value.read().decode()
    finally:
        provider.change = {}
        process.terminate()
        process.communicate(timeout=60)
    assert not (tmp_path / "state").exists()
    assert ctl(tmp_path, "status").returncode == 3


def test_a_sign_in_that_has_ended_or_lies_open_is_not_used(tmp_path):
    kept = tmp_path / "state" / "m365-relay" / "login.json"
    kept.parent.mkdir(parents=True)
    value = {"url": "https://relay.test:1", "token": "t" * 43, "name": "oidc:a", "role": "viewer", "until_ms": 1}
    for mode, words in ((0o600, "has ended: relayctl login https://relay.test:1"), (0o644, "others could read")):
        kept.write_text(json.dumps(value))
        kept.chmod(mode)
        done = ctl(tmp_path, "status")
        assert done.returncode == 1
        assert words in " ".join(done.stderr.split())
    kept.chmod(0o600)
    kept.write_text("no json")
    assert "this is no sign-in" in " ".join(ctl(tmp_path, "status").stderr.split())


@pytest.mark.parametrize("url", ["relay.test", "http://relay.test:8025", "https://relay.test/path", "ftp://x"])
def test_an_address_that_is_none_is_refused(tmp_path, url):
    done = ctl(tmp_path, "login", url)
    assert done.returncode == 2
    assert "expected https:// and a host" in " ".join(done.stderr.split())
