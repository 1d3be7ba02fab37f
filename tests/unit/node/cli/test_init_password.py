"""``relayctl init`` and ``hash-password``: ask people, tell scripts, overwrite nothing."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from node.cli.errors import UsageError
from node.cli.init import init
from node.cli.newfile import write_whole
from node.cli.passwords import hash_password
from node.policy.passwords import HashKind, kind_of, verify_password
from node.settings.reader import load
from tests.support.settings_files import SMALLEST

ROOT = Path(__file__).parents[4]
OPTIONS = [
    "--tenant-id=8f2c1a0e-0000-4000-8000-000000000000",
    "--domain=contoso.com",
    "--client-id=1b7d2c3e-0000-4000-8000-000000000000",
    "--secret-file=/etc/m365-relay/app-secret",
    "--account=relay1@contoso.com",
    "--account=relay2@contoso.com",
    "--network=10.1.0.0/16",
    "--owner=it@contoso.com",
]


def run(command, *arguments, stdin=None):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)


def test_init_writes_the_smallest_sample(tmp_path):
    found = run(init, tmp_path / "relay.yaml", *OPTIONS)
    assert found.exit_code == 0
    assert (tmp_path / "relay.yaml").read_text() == SMALLEST.read_text()
    assert "self-signed" in found.stderr


def test_init_keeps_an_existing_file(tmp_path):
    path = tmp_path / "relay.yaml"
    path.write_text("mine")
    found = run(init, path, *OPTIONS)
    assert found.exit_code == 2
    assert "exists already; --force replaces it" in found.stderr
    assert path.read_text() == "mine"
    assert run(init, path, *OPTIONS, "--force").exit_code == 0
    assert path.read_text() == SMALLEST.read_text()


def test_init_names_the_options_a_script_left_out(tmp_path):
    found = run(init, tmp_path / "relay.yaml", *OPTIONS[2:])
    assert found.exit_code == 2
    assert found.stderr.strip() == "give --tenant-id, --domain"


@pytest.mark.parametrize("bad", ["--domain=contoso com", "--account=relay", "--network=10.1.2.3/8", '--owner="x\ny'])
def test_init_checks_before_it_writes(tmp_path, bad):
    found = run(init, tmp_path / "relay.yaml", *OPTIONS, bad)
    assert found.exit_code == 2
    assert "expected" in found.stderr or "bits set" in found.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "odd", ["/etc/my secret: {file}", "/etc/#1", 'C:\\"x"', "/etc/ü\N{GRINNING FACE}", "yes", "1.5"]
)
def test_init_quotes_what_needs_quoting(tmp_path, odd):
    run(init, tmp_path / "relay.yaml", *OPTIONS, f"--secret-file={odd}")
    secret = load(tmp_path / "relay.yaml", here=False).settings.tenants["contoso"].app.secret
    assert secret.file == tmp_path / odd


def test_nowhere_to_write(tmp_path):
    found = run(init, tmp_path / "none" / "relay.yaml", *OPTIONS)
    assert found.exit_code == 2
    assert "No such file or directory" in found.stderr


def test_init_asks_a_person(tmp_path):
    path = tmp_path / "relay.yaml"
    main, side = pty.openpty()
    command = [sys.executable, "-m", "node.cli.init", str(path), *OPTIONS[2:]]
    with subprocess.Popen(command, cwd=ROOT, stdin=side, stdout=side, stderr=side) as process:
        os.close(side)
        os.write(main, b"8f2c1a0e-0000-4000-8000-000000000000\ncontoso.com\n")
        shown = _read_all(main, process)
    os.close(main)
    assert process.returncode == 0, shown
    assert b"Directory (tenant) id" in shown
    assert path.read_text() == SMALLEST.read_text()


def _read_all(main, process, within_s=60.0):
    """Read the terminal until the program has gone, at most *within_s* seconds."""
    shown, end = b"", time.monotonic() + within_s
    while time.monotonic() < end:
        ready, _, _ = select.select([main], [], [], 0.2)
        try:
            shown += os.read(main, 4096) if ready else b""
        except OSError:
            break
        if not ready and process.poll() is not None:
            break
    process.wait(timeout=within_s)
    return shown


def test_a_file_made_meanwhile_by_someone_else_is_kept(tmp_path):
    (tmp_path / "a.yaml").write_text("theirs")
    with pytest.raises(UsageError, match="exists already; nothing was changed"):
        write_whole(tmp_path / "a.yaml", "mine")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["theirs"]


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    def broken(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(UsageError, match="No space left on device"):
        write_whole(tmp_path / "a.yaml", "text")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("options", "kind"), [([], HashKind.ARGON2), (["--fips"], HashKind.PBKDF2)])
def test_hash_password_from_standard_input(options, kind):
    found = run(hash_password, *options, stdin="correct horse\nignored\n")
    made = found.stdout.strip()
    assert kind_of(made) is kind
    assert verify_password(made, b"correct horse")
    assert "correct horse" not in found.output


def test_hash_password_for_programs():
    made = json.loads(run(hash_password, "--json", stdin="s3\r\n").stdout)["hash"]
    assert verify_password(made, b"s3")


@pytest.mark.parametrize(
    ("text", "expected"), [("", "no password given"), ("\n", "no password given"), ("x" * 1025, "at most 1024 bytes")]
)
def test_hash_password_refuses(text, expected):
    found = run(hash_password, stdin=text)
    assert found.exit_code == 2
    assert expected in found.stderr
