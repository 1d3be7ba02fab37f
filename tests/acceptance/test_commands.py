"""A real node with a simulated smart host behind it, asked by the commands as an operator asks; and its signals."""

import json
import os
import signal
import smtplib
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.support.relay import RelayProcess

ROOT = Path(__file__).parents[2]
BOUND_S = 20.0
FULL = "452 4.2.2 The recipient's mailbox is full"
BLOCKED = "550 5.7.1 Message rejected as spam by Content Filtering."


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    """A simulated smart host: takes everything but mail to full@ (452 at RCPT)."""
    script = tmp_path_factory.mktemp("up") / "script.yaml"
    script.write_text(yaml.safe_dump([{"at": "rcpt", "when": {"recipient": "full@*"}, "reply": FULL}]))
    command = [sys.executable, "-m", "node.rehearsal", "m365", "--smarthost", "--script", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=ROOT, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(10)


def configuration(upstream) -> dict:
    return {
        "hostname": "relay.contoso.com",
        "intake": {"processes": 1},
        "listeners": {"smtp": {"port": 0, "address": "127.0.0.1", "tls": "none", "auth": "none"}},
        "tenant": {
            "id": "8f2c1a0e-0000-4000-8000-000000000000",
            "domains": ["contoso.com"],
            "smarthost": {"host": "127.0.0.1", "port": upstream["smtp"], "tls": "none", "size": "10MiB"},
        },
        "routes": {"internal": ["smarthost"], "external": ["smarthost"]},
        "plans": {"out": {"outside_tenant": True, "rate": "100000/min"}, "in": {"to": "internal"}},
        "clients": {"apps": {"networks": ["127.0.0.1/32"], "senders": ["*@contoso.com"], "plan": "out"}},
    }


@pytest.fixture(scope="module")
def relay(upstream, tmp_path_factory):
    with RelayProcess(tmp_path_factory.mktemp("n"), configuration(upstream)) as made:
        yield made


@pytest.fixture
def own(upstream, tmp_path):
    """A node of its own, for tests that end or change it."""
    with RelayProcess(tmp_path, configuration(upstream)) as made:
        yield made


def send(relay, recipient="bob@example.com", sender="app@contoso.com") -> str:
    with smtplib.SMTP("127.0.0.1", relay.port(), timeout=10) as smtp:
        smtp.ehlo("app.contoso.com")
        smtp.mail(sender)
        code, text = smtp.rcpt(recipient)
        assert code == 250, text
        code, text = smtp.data(b"From: %s\r\nSubject: a test\r\n\r\nhello\r\n" % sender.encode())
    assert code == 250, text
    return text.decode().rsplit(" ", 1)[1]


def journey(relay, message_id):
    return json.loads(relay.ctl("trace", message_id, "--json").stdout)


def until(what, bound_s=BOUND_S):
    """Wait for something to become true; gives it."""
    end = time.monotonic() + bound_s
    while not (found := what()):
        assert time.monotonic() < end, "not within the bound"
        time.sleep(0.05)
    return found


def wait_state(relay, message_id, state):
    def there():
        view = relay.get(f"/v1/messages/{message_id}")
        return view["recipients"][0]["state"] == state

    until(there)


def table(relay, *command):
    return json.loads(relay.ctl(*command, "--json").stdout)


# -- looking


def test_status_says_what_is_on(relay):
    seen = table(relay, "status")
    assert seen["readiness"] == {"ready": True, "reasons": []}
    assert list(seen["listeners"]) == ["smtp"]
    assert [way["account"] for way in seen["ways"]] == ["contoso/smarthost"]
    shown = relay.ctl("status").stdout
    assert "ready" in shown
    assert f"smtp 127.0.0.1:{relay.port()}" in shown


def test_trace_follows_a_message_from_the_id_the_250_says(relay):
    message_id = send(relay, "carol@example.com")
    wait_state(relay, message_id, "delivered")
    assert [line["event"] for line in journey(relay, message_id)["lines"]] == ["accepted", "claimed", "delivered"]
    shown = relay.ctl("trace", message_id).stdout
    assert "carol@example.com: delivered" in shown
    for options in (["--to", "carol@example.com"], ["--from", "*@contoso.com"], ["--since", "5m"]):
        found = {view["message"]["id"] for view in table(relay, "trace", *options, "--limit", "1000")}
        assert message_id in found, options
    assert table(relay, "trace", "--to", "carol@example.com", "--since", "2099-01-01") == []
    unknown = relay.ctl("trace", "no-such-id", check=False)
    assert (unknown.returncode, "no message of that id" in unknown.stderr) == (1, True)


def test_a_deferred_message_says_why_and_when(relay):
    message_id = send(relay, "full@example.com")
    wait_state(relay, message_id, "deferred")
    listed = {view["message"]["id"]: view for view in table(relay, "queue", "list", "--state", "deferred")}
    recipient = listed[message_id]["recipients"][0]
    assert recipient["last_reply"].startswith("452 4.2.2")
    assert recipient["next_attempt_ms"] > listed[message_id]["message"]["received_ms"]
    assert message_id in relay.ctl("queue", "list", "--to", "full@example.com").stdout
    assert "452 4.2.2" in relay.ctl("queue", "show", message_id).stdout
    before = len(journey(relay, message_id)["lines"])
    assert table(relay, "queue", "retry", message_id) == {"changed": 1}
    until(lambda: len(journey(relay, message_id)["lines"]) >= before + 3)
    assert table(relay, "queue", "delete", message_id, "--reason", "test") == {"changed": 1}
    assert journey(relay, message_id)["recipients"][0]["state"] == "deleted"
    again = relay.ctl("queue", "delete", message_id, check=False)
    assert (again.returncode, again.stdout) == (1, "0 recipient(s) changed\n")


def test_hold_export_release(relay, tmp_path):
    relay.ctl("account", "park", "contoso/smarthost", "--reason", "test")
    try:
        message_id = send(relay, "dave@example.com")
        assert table(relay, "queue", "hold", "--to", "dave@example.com") == {"changed": 1}
        place = tmp_path / "one.eml"
        relay.ctl("queue", "export", message_id, "-o", str(place))
        assert b"\r\nSubject: a test\r\n" in place.read_bytes()
        assert place.read_bytes().endswith(b"\r\n\r\nhello\r\n")
        assert place.read_bytes().startswith(b"Received: ")
        assert relay.ctl("queue", "export", message_id).stdout.replace("\n", "\r\n").encode() == place.read_bytes()
    finally:
        relay.ctl("account", "resume", "contoso/smarthost")
    assert table(relay, "queue", "list", "--to", "dave@example.com")[0]["recipients"][0]["state"] == "held"
    assert table(relay, "queue", "release", message_id, "--reason", "seen") == {"changed": 1}
    wait_state(relay, message_id, "delivered")
    events = [line["event"] for line in journey(relay, message_id)["lines"]]
    assert [event for event in events if event != "postponed"] == [
        "accepted",
        "held",
        "released",
        "claimed",
        "delivered",
    ]
    gone = relay.ctl("queue", "export", message_id, check=False)
    assert (gone.returncode, gone.stdout) == (1, "")


def test_nothing_named_means_nothing(relay):
    found = relay.ctl("queue", "delete", check=False)
    assert (found.returncode, "names nothing" in found.stderr) == (2, True)


@pytest.mark.parametrize("scope", ["contoso/smarthost", "path/contoso/smarthost", "tenant/contoso", "client/apps"])
def test_parking_stops_mail_and_resuming_sends_it(relay, scope):
    resume = ["client", "resume", "apps"] if scope.startswith("client/") else ["account", "resume", scope]
    relay.ctl("account", "park", scope, "--reason", "maintenance")
    try:
        parked = [way for way in relay.get("/v1/accounts") if way["state"] == "parked"]
        assert [way["reason"] for way in parked] == ["maintenance"]
        message_id = send(relay)
        route = relay.get("/v1/route", sender="app@contoso.com", recipient="bob@example.com", client="apps")
        assert route["decision"] == "wait"
        assert "maintenance" in route["ways"][0]["why"]
        view = relay.get(f"/v1/messages/{message_id}")
        assert view["recipients"][0]["state"] in ("queued", "deferred")
    finally:
        relay.ctl(*resume)
    relay.post("/v1/queue/release", filter={"ids": [message_id]})
    wait_state(relay, message_id, "delivered")
    assert {way["state"] for way in relay.get("/v1/accounts")} == {"healthy"}


def test_parking_what_is_not_there_is_said(relay):
    found = relay.ctl("account", "park", "client/nobody", check=False)
    assert (found.returncode, "account: there is no account or scope" in found.stderr) == (1, True)


def test_budget_and_client_seen(relay):
    before = relay.get("/v1/clients")
    send(relay)
    uses = {(use["scope"], use["kind"]): use for use in table(relay, "budget")}
    assert uses["apps", "client"]["limit"] == 100_000
    seen = {view["client"]: view for view in table(relay, "client", "seen")}
    messages = {view["client"]: view["messages"] for view in before}.get("apps", 0)
    assert seen["apps"]["messages"] == messages + 1


@pytest.mark.parametrize(
    ("options", "code", "decision"),
    [
        (["--client", "apps"], 0, "take"),
        (["--ip", "127.0.0.1"], 0, "take"),
        (["--ip", "192.0.2.1"], 1, "refuse"),
        (["--client", "apps", "--size", "12MiB"], 1, "bounce"),
        (["--client", "apps", "--plan", "in"], 1, "no_way"),
        ([], 1, "no_way"),
        (["--plan", "out"], 0, "take"),
    ],
)
def test_route_explain_says_the_same_live_and_from_the_file(relay, options, code, decision):
    asked = ["route", "explain", "--from", "app@contoso.com", "--to", "bob@example.com", *options, "--json"]
    live = relay.ctl(*asked, "--live", check=False)
    filed = relay.ctl(*asked, "--config", str(relay.file), check=False)
    assert (live.returncode, filed.returncode) == (code, code), live.stderr + filed.stderr
    assert json.loads(live.stdout) == json.loads(filed.stdout)
    assert json.loads(live.stdout)["decision"] == decision


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--client", "nobody"], "client"),
        (["--plan", "none"], "plan"),
        (["--ip", "here"], "ip"),
        (["--size", "12"], "--size"),
    ],
)
def test_route_explain_refuses_wrong_use_alike(relay, options, named):
    asked = ["route", "explain", "--from", "app@contoso.com", "--to", "bob@example.com", *options]
    for place in (["--live"], ["--config", str(relay.file)]):
        found = relay.ctl(*asked, *place, check=False)
        assert (found.returncode, found.stderr.startswith(f"relayctl: {named}")) == (2, True), found.stderr


def test_health_by_port(own):
    # The port is chosen by the system and not told by status; the socket answers the same pages.
    assert own.get("/live") == {"live": True}
    assert own.get("/ready") == {"ready": True, "reasons": []}


# -- signals and exit codes


def test_no_node_is_exit_3(tmp_path):
    relay = RelayProcess(tmp_path, {})
    for command in (["status"], ["trace", "x"]):
        found = relay.ctl(*command, check=False)
        assert found.returncode == 3, command
        assert "No such file" in found.stderr
        assert "Traceback" not in found.stderr


def test_a_killed_node_leaves_a_socket_that_is_exit_3_and_does_not_stop_the_next(own):
    own.kill()
    assert own.socket.exists()
    assert own.ctl("status", check=False).returncode == 3
    own.start()
    assert table(own, "status")["readiness"]["ready"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_and_mail_stays(own, number):
    own.ctl("account", "park", "contoso/smarthost")
    message_id = send(own)
    own.process.send_signal(number)
    assert own.process.wait(40) == 0
    own.start()
    assert [way["state"] for way in table(own, "account", "list")] == ["parked"]
    own.ctl("account", "resume", "contoso/smarthost")
    own.ctl("queue", "retry", message_id, check=False)
    wait_state(own, message_id, "delivered")


def reload(relay, said):
    """Send SIGHUP and wait for the log to say what came of it."""
    start = len(relay.log.read_text())
    os.kill(relay.process.pid, signal.SIGHUP)
    until(lambda: said in relay.log.read_text()[start:])
    return relay.log.read_text()[start:]


def test_a_reload_takes_a_new_client_and_says_what_waits(own):
    asked = ["route", "explain", "--from", "hr@fabrikam.com", "--to", "bob@example.com", "--client", "hr", "--live"]
    assert own.ctl(*asked, check=False).returncode == 2
    before = table(own, "status")["configuration"]
    own.config["tenant"]["domains"].append("fabrikam.com")
    own.config["clients"]["hr"] = {"networks": ["127.0.0.0/8"], "senders": ["hr@fabrikam.com"], "plan": "out"}
    del own.config["clients"]["apps"]
    own.config["hostname"] = "other.contoso.com"
    own.file.write_text(yaml.safe_dump(own.config))
    said = reload(own, "reloaded")
    assert "waits for a restart: hostname: relay.contoso.com -> other.contoso.com" in said
    assert own.ctl(*asked).returncode == 0
    assert table(own, "status")["configuration"] != before
    message_id = send(own, sender="hr@fabrikam.com")
    wait_state(own, message_id, "delivered")
    assert journey(own, message_id)["message"]["client"] == "hr"


def test_a_reload_finds_a_way_for_mail_that_had_none(own):
    def outside(allowed):
        own.config["plans"]["out"]["outside_tenant"] = allowed
        own.file.write_text(yaml.safe_dump(own.config))
        reload(own, "reloaded")

    outside(False)
    message_id = send(own)
    until(lambda: "outside_tenant" in str(journey(own, message_id)["recipients"]))
    outside(True)
    wait_state(own, message_id, "delivered")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_text("tenant: ["),
        lambda file: file.write_text(file.read_text() + "colour: red\n"),
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b"\xff\x00"),
    ],
    ids=["not YAML", "unknown key", "gone", "not text"],
)
def test_a_broken_reload_keeps_the_old_configuration(own, spoil):
    before = table(own, "status")["configuration"]
    spoil(own.file)
    said = reload(own, "not reloaded")
    assert "Traceback" not in said
    assert str(own.file) in said.partition("not reloaded")[2]
    assert table(own, "status")["configuration"] == before
    wait_state(own, send(own), "delivered")


@pytest.mark.parametrize("text", ["", "tenant: [", "colour: red\n"])
def test_a_configuration_that_cannot_be_used_is_exit_2(tmp_path, text):
    file = tmp_path / "relay.yaml"
    file.write_text(text)
    found = subprocess.run(
        [sys.executable, "-m", "node", "run", str(file)], capture_output=True, text=True, timeout=30, check=False
    )
    assert found.returncode == 2
    assert str(file) in found.stderr
    assert "Traceback" not in found.stderr
