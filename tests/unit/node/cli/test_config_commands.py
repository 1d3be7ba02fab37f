"""``relayctl config``: what it prints and how it exits, for people and for programs."""

import json

import pytest
from typer.testing import CliRunner

from node.cli.config import config_app, parse_key
from node.cli.errors import UsageError
from tests.support.schema_check import problems
from tests.support.settings_files import CLIENTS, PRODUCTION, SMALLEST, TENANT, write

BASE = TENANT + CLIENTS


def run(*arguments):
    return CliRunner().invoke(config_app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_check_of_a_good_file(tmp_path):
    (tmp_path / "secret").write_text("s3")
    (tmp_path / "secret").chmod(0o600)
    found = run("check", write(tmp_path, BASE))
    assert found.exit_code == 0
    assert "fine; 1 tenant, 1 service account, 1 client;" in found.stdout
    assert "self-signed" in found.stderr


def test_warnings_count_only_when_asked(tmp_path):
    assert run("check", SMALLEST, "--elsewhere").exit_code == 0
    assert run("check", SMALLEST, "--elsewhere", "--strict").exit_code == 1


def test_check_for_programs():
    found = run("check", SMALLEST, "--elsewhere", "--json")
    facts = json.loads(found.stdout)
    assert facts["ok"] is True
    assert len(facts["cluster_hash"]) == 64
    assert len(facts["warnings"]) == 1


def test_faults_for_programs(tmp_path):
    found = run("check", write(tmp_path, BASE + "limits: {sesions: 5}\n"), "--elsewhere", "--json")
    assert found.exit_code == 2
    facts = json.loads(found.stdout)
    assert facts["ok"] is False
    assert len(facts["faults"]) == 1


def test_check_as_another_node():
    assert run("check", PRODUCTION, "--elsewhere", "--node", "relay-c").exit_code == 0
    found = run("check", PRODUCTION, "--elsewhere", "--node", "relay-d")
    assert found.exit_code == 2
    assert "relay-d is none of the nodes" in found.stderr


def test_missing_file(tmp_path):
    found = run("check", tmp_path / "none.yaml")
    assert found.exit_code == 2
    assert "none.yaml: no such file" in found.stderr


def test_file_from_the_environment(monkeypatch):
    monkeypatch.setenv("RELAY_CONFIG", str(SMALLEST))
    assert run("check", "--elsewhere").exit_code == 0


def test_explain_a_key_with_its_value():
    found = run("explain", "plans.printer.size", "--config", PRODUCTION)
    assert found.exit_code == 0
    assert "takes: text such as 256KiB, 35MiB" in found.stdout
    assert "in force: 25MiB (from the file)" in found.stdout


def test_explain_tells_defaults_from_the_file():
    found = json.loads(run("explain", "limits.idle", "--config", PRODUCTION, "--json").stdout)
    assert (found["in_force"], found["from_file"], found["default"]) == ("5m", False, "5m")


@pytest.mark.parametrize(
    ("key", "value", "source"),
    [
        ("clients.urgent.copies", "required", "the file"),
        ("clients.apps.copies", "one", "plans.p.copies"),
        ("clients.plain.copies", "preferred", "cluster.copies"),
        ("plans.q.copies", "preferred", "cluster.copies"),
    ],
)
def test_explain_says_which_key_decides_on_copies(tmp_path, key, value, source):
    text = (
        TENANT + "cluster: {name: c, etcd: [e], pki: /pki, nodes: {a: {site: s, address: 10.0.0.1}, "
        "b: {site: s, address: 10.0.0.2}}}\nplans: {p: {copies: one}, q: {}}\n"
        "clients:\n  apps: {networks: [10.1.0.0/16], senders: ['*@contoso.com'], plan: p}\n"
        "  plain: {networks: [10.2.0.0/16], senders: ['*@contoso.com'], plan: q}\n"
        "  urgent: {networks: [10.3.0.0/16], senders: ['*@contoso.com'], plan: p, copies: required}\n"
    )
    file = write(tmp_path, text)
    assert f"in force: {value} (from {source})" in run("explain", key, "--config", file).stdout
    found = json.loads(run("explain", key, "--config", file, "--json").stdout)
    assert (found["in_force"], found.get("from_key", "the file")) == (value, source)


def test_explain_without_a_key_lists_all_top_keys():
    found = run("explain", "--config", PRODUCTION)
    assert found.exit_code == 0
    assert "clients_from" in found.stdout


def test_explain_an_unknown_key():
    found = run("explain", "limits.sesions", "--config", PRODUCTION)
    assert found.exit_code == 2
    assert "limits.sesions: there is no such key; did you mean sessions?" in found.stderr


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        ("limits.idle", ("limits", "idle")),
        ('a."b.c@d".e', ("a", "b.c@d", "e")),
        ("a.b[0].c", ("a", "b", 0, "c")),
    ],
)
def test_keys_are_read_as_they_are_printed(text, path):
    assert parse_key(text) == path


@pytest.mark.parametrize("text", ['"', "[x]", ".a", "a[", 'a."b'])
def test_keys_that_are_none(text):
    with pytest.raises(UsageError, match="expected a key"):
        parse_key(text)


def test_schema_is_json_and_accepts_the_smallest():
    import yaml

    made = json.loads(run("schema").stdout)
    assert problems(yaml.safe_load(SMALLEST.read_text()), made, made) == []


def test_diff(tmp_path):
    old, new = (
        write(tmp_path, BASE, "old.yaml"),
        write(tmp_path, BASE + "limits: {idle: 9m}\nadmin: {port: 1}\n", "new.yaml"),
    )
    found = run("diff", old, new)
    assert found.exit_code == 0
    assert found.stdout.splitlines() == [
        "takes effect on reload",
        "  limits.idle: 5m -> 9m",
        "needs a restart",
        "  admin.port: 8025 -> 1 (the port is opened at start)",
        "the cluster-wide part changes: give every node the same file",
    ]
    assert run("diff", old, new, "--exit-code").exit_code == 1
    assert run("diff", old, old, "--exit-code").exit_code == 0
    assert json.loads(run("diff", old, new, "--json").stdout)["cluster_hash_changes"] is True


def test_diff_of_a_broken_file(tmp_path):
    found = run("diff", SMALLEST, write(tmp_path, "tenant: ["))
    assert found.exit_code == 2
    assert "not YAML" in found.stderr


def test_hostile_text_cannot_drive_the_terminal(tmp_path):
    found = run(
        "check", write(tmp_path, BASE + 'plans: {a: {rate: "[red]\N{RIGHT-TO-LEFT OVERRIDE}"}}\n'), "--elsewhere"
    )
    assert "[red]" in found.stderr
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in found.stderr
