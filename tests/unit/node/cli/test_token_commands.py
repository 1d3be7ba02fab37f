"""``relayctl token`` and ``audit``."""

import hashlib
import json

import pytest
import yaml
from typer.testing import CliRunner

from node.__main__ import app
from node.app.administration import tokens_of
from node.audit import Audit, files_in
from tests.support.settings_files import CLIENTS, TENANT, loaded


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def test_what_is_printed_can_be_used_and_its_hash_alone_is_kept(tmp_path):
    shown = run("token", "make", "ops", "--role", "operator", "--days", 10)
    token, line = shown.stdout.splitlines()
    token = token.removeprefix("token: ")
    settings = loaded(tmp_path, TENANT + CLIENTS + line + "\n").settings
    [known] = tokens_of(settings)
    assert (known.name, known.role.name, known.digest) == (
        "ops",
        "OPERATOR",
        hashlib.sha256(token.encode()).hexdigest(),
    )
    assert token not in line
    assert len(token) >= 43
    made = json.loads(run("token", "make", "ops", "--json").stdout)
    assert made["admin"]["tokens"]["ops"]["role"] == "viewer"
    assert yaml.safe_load(line)["admin"]["tokens"]["ops"]["role"] == "operator"


@pytest.mark.parametrize("wrong", [("--role", "root"), ("--days", "0"), ("--days", "10000")])
def test_wrong_use_is_said(wrong):
    assert run("token", "make", "ops", *wrong).exit_code == 2


def test_a_whole_audit_and_one_that_was_changed(tmp_path):
    book = Audit(tmp_path, "n1")
    for number in range(3):
        book.write({"actor": "alice\x1b[31m", "from": "socket", "event": f"deed {number}", "facts": {"why": "ü"}})
    assert run("audit", "check", "--directory", tmp_path).stdout.startswith("whole: 3 entries")
    listed = run("audit", "list", "--directory", tmp_path).stdout
    assert "deed 2" in listed
    assert "\x1b" not in listed
    assert len(json.loads(run("audit", "list", "--directory", tmp_path, "--json", "--limit", 2).stdout)) == 2
    [file] = files_in(tmp_path)
    file.write_text(file.read_text().replace("deed 1", "deed 9"))
    found = run("audit", "check", "--directory", tmp_path)
    assert (found.exit_code, ":2: changed" in found.stdout) == (1, True)
    assert run("audit", "check", "--directory", tmp_path / "none").stdout.startswith("whole: 0 entries")
