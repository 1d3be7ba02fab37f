"""``relayctl client``: list, explain, add."""

import json
import stat

import pytest
from typer.testing import CliRunner

from node.cli.clients import client_app
from node.policy.passwords import verify_password
from node.settings.reader import load
from tests.support.settings_files import CLIENTS, TENANT, write

HASHED = '"$argon2id$…"'
BASE = (
    TENANT
    + "clients_from: clients.d\nplans: {batch: {rate: 600/min}}\n"
    + "listeners: {smtp: {port: 25}, submission: {port: 587, tls: required, auth: required}}\n"
    + CLIENTS
    + "  wide: {networks: [10.0.0.0/8], senders: [root@contoso.com]}\n"
    + f"  billing: {{user: billing, passwords: [{{hash: {HASHED}, until: 2027-01-31}}], senders: [b@contoso.com]}}\n"
)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "clients.d").mkdir()
    write(tmp_path, BASE)
    return tmp_path


def run(place, *arguments):
    arguments = [*map(str, arguments), "--config", str(place / "relay.yaml")]
    return CliRunner().invoke(client_app, arguments, catch_exceptions=False)


def test_list(place):
    found = run(place, "list", "--json")
    clients = {client["name"]: client for client in json.loads(found.stdout)}
    assert clients["apps"]["networks"] == ["10.1.0.0/16"]
    assert clients["billing"]["passwords"] == [{"until": "2027-01-31"}]
    assert "argon2id" not in found.stdout
    assert "user billing" in run(place, "list").stdout


def test_list_says_how_many_machines_keep_a_clients_mail_and_why(place):
    write(
        place,
        BASE.replace("rate: 600/min", "rate: 600/min, copies: preferred").replace(
            "root@contoso.com]", "root@contoso.com], plan: batch"
        ),
    )
    clients = {client["name"]: client for client in json.loads(run(place, "list", "--json").stdout)}
    found = {name: (client["copies"], client["copies_from"]) for name, client in clients.items()}
    assert (found["wide"], found["apps"]) == (("preferred", "plans.batch.copies"), ("one", ""))
    assert "copies" in run(place, "list").stdout


def test_list_of_nobody(tmp_path):
    write(tmp_path, TENANT)
    assert "no clients: nobody may send" in run(tmp_path, "list").stdout


@pytest.mark.parametrize(
    ("arguments", "client", "code"),
    [
        (["10.1.2.3"], "apps", 0),
        (["10.2.2.3"], "wide", 0),
        (["10.1.2.3", "x@contoso.com"], "apps", 0),
        (["10.1.2.3", "x@contoso.com", "--user", "billing"], "billing", 1),
        (["192.0.2.1"], None, 1),
        (["10.2.2.3", "x@contoso.com"], "wide", 1),
        (["10.1.2.3", "--listener", "submission"], None, 1),
        (["10.1.2.3", "--listener", "smtp"], "apps", 0),
        (["::ffff:10.1.2.3"], "apps", 0),
    ],
)
def test_explain(place, arguments, client, code):
    found = run(place, "explain", *arguments, "--json")
    assert json.loads(found.stdout)["client"] == client
    assert found.exit_code == code


def test_explain_in_words(place):
    found = run(place, "explain", "10.1.2.3", "x@other.org")
    assert "result: client 'apps'" in found.stdout
    assert "sender x@other.org: refused; apps may send as *@contoso.com" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["printer"], "expected an IP address"),
        (["10.1.2.3", "a b@c"], "the address holds"),
        (["10.1.2.3", "--listener", "x"], "there is no listener 'x'"),
    ],
)
def test_explain_refuses_nonsense(place, arguments, expected):
    found = run(place, "explain", *arguments)
    assert found.exit_code == 2
    assert expected in found.stderr


def test_add_makes_a_client_that_can_log_in(place):
    found = run(
        place, "add", "hr", "--sender", "hr@contoso.com", "--plan", "batch", "--owner", "it@contoso.com", "--json"
    )
    made = json.loads(found.stdout)
    path = place / "clients.d" / "hr.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert made["password"] not in path.read_text()
    client = load(place / "relay.yaml", here=False).settings.clients["hr"]
    assert (client.user, client.plan, client.owner) == ("hr", "batch", "it@contoso.com")
    assert verify_password(client.passwords[0].hash, made["password"].encode())
    assert len(made["password"]) == 26
    assert list((place / "clients.d").iterdir()) == [path]


def test_add_prints_the_password_once_for_a_person(place):
    found = run(place, "add", "hr", "--sender", "hr@contoso.com")
    assert found.stdout.count("password (shown only now): ") == 1


def test_two_passwords_are_never_equal(place):
    made = [json.loads(run(place, "add", name, "--sender", "a@contoso.com", "--json").stdout) for name in ("a", "b")]
    assert made[0]["password"] != made[1]["password"]


def test_add_for_fips(place):
    run(place, "add", "hr", "--sender", "hr@contoso.com", "--fips")
    assert "$pbkdf2-sha256$" in (place / "clients.d" / "hr.yaml").read_text()


def test_add_by_network_makes_no_password(place):
    found = run(place, "add", "scan", "--sender", "s@contoso.com", "--network", "10.77.0.0/16", "--json")
    assert json.loads(found.stdout)["password"] is None
    assert load(place / "relay.yaml", here=False).settings.clients["scan"].user is None


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("apps", ["--sender", "a@contoso.com"], "clients.apps: this client is given twice"),
        ("new", ["--sender", "a@other.org"], "no tenant owns other.org"),
        ("new", ["--sender", "a@contoso.com", "--plan", "none"], "there is no plan 'none'; plans: batch"),
        ("new", ["--sender", "a@contoso.com", "--network", "10.1.0.0/16"], "matches exactly as client apps"),
        ("new", ["--sender", "a@contoso.com", "--owner", "nobody"], "expected an address such as"),
        ("../new", ["--sender", "a@contoso.com"], "expected a name of letters"),
        ("n ew", ["--sender", "a@contoso.com"], "expected a name of letters"),
    ],
)
def test_add_refuses_and_writes_nothing(place, name, arguments, expected):
    found = run(place, "add", name, *arguments)
    assert found.exit_code == 2
    assert expected in found.stderr
    assert list((place / "clients.d").iterdir()) == []


def test_add_never_overwrites(place):
    path = write(place, "", "clients.d/hr.yaml")
    found = run(place, "add", "hr", "--sender", "hr@contoso.com")
    assert found.exit_code == 2
    assert "exists already; nothing was changed" in found.stderr
    assert path.read_text() == ""


def test_add_needs_a_directory(place):
    (place / "clients.d").rmdir()
    assert "no such directory; make it first" in run(place, "add", "hr", "--sender", "hr@contoso.com").stderr
    write(place, TENANT + CLIENTS)
    assert "add a line `clients_from:" in run(place, "add", "hr", "--sender", "hr@contoso.com").stderr
