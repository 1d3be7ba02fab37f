"""Commands that speak to a node: what is asked, what is shown, exit codes, and text that comes from strangers."""

import json
import re
import stat

import pytest
from typer.testing import CliRunner

from node.__main__ import app
from tests.support.fake_node import FakeNode

EVIL = "\x1b]0;owned\x07\x1b[2J[red]boo[/red] [/]\r\u202e\x9b31m"
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
T0 = 1_800_000_000_000


def found(*messages, **missing):
    """What a node answers about the queues of all."""
    return {"messages": list(messages), "missing": missing}


def view(**more):
    return {
        "node": "n1",
        "place": "spool",
        "protected": True,
        "finished_ms": 0,
        "message": {
            "id": "019ab3c2-0000",
            "mail_from": "app@contoso.com",
            "client": "apps",
            "priority": "normal",
            "size_bytes": 120,
            "received_ms": T0,
            "source": "192.0.2.1:4711",
            "message_id": "<1@contoso.com>",
            "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
            **more,
        },
        "recipients": [
            {
                "address": "bob@example.com",
                "state": "deferred",
                "last_reason": "mailbox_full",
                "last_reply": "452 4.2.2 full",
                "next_attempt_ms": T0 + 60_000,
            }
        ],
        "lines": [
            {"at_ms": T0, "event": "accepted", "detail": {}},
            {"at_ms": T0 + 400, "event": "deferred", "detail": {"reply": "452 4.2.2 full", "empty": ""}},
        ],
    }


ONE = {**view(), "elsewhere": []}
WAY = {
    "path": "submission",
    "account": "contoso/relay1@contoso.com",
    "state": "resting",
    "reason": "locked",
    "until_ms": T0,
    "connections": 2,
}
STATUS = {
    "node": "n1",
    "version": "1",
    "started_ms": T0,
    "readiness": {"ready": True, "reasons": []},
    "listeners": {"smtp": "*:25"},
    "by_state": {"queued": 2, "held": 0},
    "oldest_received_ms": {"normal": T0},
    "attempts": 1,
    "connections": 2,
    "configuration": "cafe" * 16,
    "ways": [WAY],
}
BUDGET = [
    {
        "scope": "contoso/relay1@contoso.com",
        "kind": "permits",
        "limit": 30,
        "used": 7,
        "window_s": 60.0,
        "retry_ms": 0,
        "exhausted_ms": T0,
    }
]
CLIENTS = [
    {"client": "apps", "messages": 3, "last_seen_ms": T0, "weaknesses": {"old_tls": 2}, "addresses": ["10.1.2.3"]}
]
ROUTE = {
    "sender": "a@contoso.com",
    "recipient": "b@example.com",
    "matching": ["apps: as asked"],
    "refused": "",
    "direction": "external",
    "tenant": "contoso",
    "plan": "",
    "ways": [
        {"path": "submission", "account": "contoso/r@contoso.com", "state": "ready", "why": "", "until_ms": 0},
    ],
    "decision": "take",
    "why": "submission:contoso/r@contoso.com",
}


@pytest.fixture
def node(tmp_path, monkeypatch):
    with FakeNode(tmp_path / "s") as made:
        made.answers |= {
            "/v1/status": STATUS,
            "/v1/accounts": [WAY],
            "/v1/cluster": None,
            "/v1/budget": BUDGET,
            "/v1/shares": {},
            "/v1/clients": CLIENTS,
            "/v1/everywhere/messages": found(view()),
            "/v1/everywhere/messages/019ab3c2-0000": found(view()),
            "/v1/route": ROUTE,
            **{
                f"{place}/queue/{action}": {"changed": 2, "more": False, "missing": {}}
                for action in ("hold", "release", "delete")
                for place in ("/v1", "/v1/everywhere")
            },
            **{f"/v1/accounts/{action}": {"changed": 1} for action in ("park", "resume")},
        }
        monkeypatch.setenv("RELAY_SOCKET", str(made.path))
        yield made


def run(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)


LISTINGS = [
    (
        ["status"],
        {**STATUS, "cluster": None, "coordinator": None, "troubles": []},
        ["n1", "ready", "smtp *:25", "2 queued", "locked", "cafecafecafe"],
    ),
    (
        ["budget"],
        [{**BUDGET[0], "left": 23, "shares": {}}],
        ["contoso/relay1@contoso.com", "7/30", "1m", "2027-01-15 08:00"],
    ),
    (["client", "seen"], CLIENTS, ["apps", "old_tls 2", "10.1.2.3"]),
    (["account", "list"], [WAY], ["contoso/relay1@contoso.com", "resting", "2027-01-15 08:00:00"]),
    (["queue", "list"], [view()], ["019ab3c2-0000", "n1", "twice", "deferred", "mailbox_full", "08:01:00"]),
    (["queue", "show", "019ab3c2-0000"], ONE, ["bob@example.com", "452 4.2.2 full", "a" * 32, "0.4s"]),
    (
        ["trace", "019ab3c2-0000"],
        ONE,
        ["bob@example.com", "next try 2027-01-15 08:01:00 UTC", "n1, kept on two machines"],
    ),
    (["trace", "--to", "bob@example.com"], [view()], ["019ab3c2-0000", "n1", "deferred"]),
    (["route", "explain", "--from", "a@contoso.com", "--to", "b@example.com", "--live"], ROUTE, ["ready", "sent now"]),
]


@pytest.mark.parametrize(("command", "answer", "shown"), LISTINGS, ids=[" ".join(each[0][:2]) for each in LISTINGS])
def test_every_listing_for_people_and_for_programs(node, command, answer, shown):
    for_people = run(*command)
    assert for_people.exit_code == 0
    for piece in shown:
        assert piece in for_people.stdout, for_people.stdout
    for_programs = run(*command, "--json")
    assert for_programs.exit_code == 0
    assert json.loads(for_programs.stdout) == answer


def spoiled(value):
    """Put hostile text into every text of an answer but ids and words the node itself chooses."""
    kept = {"id", "state", "decision", "event", "traceparent", "priority"}
    if isinstance(value, dict):
        return {key: one if key in kept else spoiled(one) for key, one in value.items()}
    if isinstance(value, list):
        return [spoiled(one) for one in value]
    return value + EVIL if isinstance(value, str) else value


@pytest.mark.parametrize("command", [each[0] for each in LISTINGS], ids=[" ".join(each[0][:2]) for each in LISTINGS])
def test_no_foreign_text_drives_the_terminal(node, command):
    node.answers = {path: spoiled(answer) for path, answer in node.answers.items()}
    node.answers["/v1/status"]["readiness"] = {"ready": False, "reasons": [EVIL]}
    found = run(*command)
    assert found.exit_code in (0, 1)
    assert "[red]boo[/red]" in found.stdout
    assert not CONTROLS.search(found.stdout.replace("\n", ""))


def test_hostile_json_stays_json(node):
    node.answers["/v1/everywhere/messages"] = found(spoiled(view()))
    assert json.loads(run("queue", "list", "--json").stdout) == [spoiled(view())]


def test_hostile_errors_do_not_drive_the_terminal_either(node):
    node.answers["/v1/status"] = (409, {"error": EVIL})
    found = run("status")
    assert found.exit_code == 1
    assert not CONTROLS.search(found.stderr.replace("\n", ""))
    assert "[red]boo[/red]" in found.stderr


def test_not_ready_is_exit_1_with_the_reasons(node):
    node.answers["/v1/status"] = {**STATUS, "readiness": {"ready": False, "reasons": ["door shut: disk"]}}
    found = run("status")
    assert found.exit_code == 1
    assert "not ready: door shut: disk" in found.stdout


def test_empty_listings_say_so(node):
    node.answers["/v1/everywhere/messages"] = found()
    for path in ("/v1/accounts", "/v1/budget", "/v1/clients"):
        node.answers[path] = []
    shown = [
        run(*command).stdout for command in (["queue", "list"], ["account", "list"], ["budget"], ["client", "seen"])
    ]
    assert [text.strip() for text in shown] == ["nothing waits", "no way to deliver", "no limits", "no client seen yet"]


def test_queue_list_asks_for_what_waits(node):
    run("queue", "list", "--client", "apps", "--why", "mailbox_full", "--limit", "7")
    query = node.asked[0][2]
    assert query == {
        "states": "queued,deferred,in_flight,unknown,held,dead",
        "client": "apps",
        "reason": "mailbox_full",
        "limit": "7",
    }


@pytest.mark.parametrize(
    ("command", "path"),
    [("hold", "hold"), ("release", "release"), ("retry", "release"), ("delete", "delete")],
)
def test_queue_actions(node, command, path):
    found = run("queue", command, "id1", "id2", "--reason", "because", "--json")
    assert (found.exit_code, json.loads(found.stdout)) == (0, {"changed": 2})
    method, asked, _, body, _ = node.asked[0]
    assert (method, asked) == ("POST", f"/v1/everywhere/queue/{path}")
    assert body == {"filter": {"ids": "id1,id2"}, "all": False, "reason": "because"}
    run("queue", command, "id1", "--here")
    assert node.asked[1][1] == f"/v1/queue/{path}"


def test_queue_actions_go_on_while_the_node_says_there_is_more(node):
    answers = iter([{"changed": 20_000, "more": True, "missing": {}}, {"changed": 3, "more": False, "missing": {}}])

    class Next(dict):
        def get(self, path, default=None):
            return next(answers)

    node.answers = Next()
    found = run("queue", "hold", "--client", "apps")
    assert "20003 recipient(s) changed" in found.stdout
    assert len(node.asked) == 2


def test_ids_that_change_nothing_are_exit_1(node):
    node.answers["/v1/everywhere/queue/hold"] = {"changed": 0, "more": False, "missing": {}}
    assert run("queue", "hold", "none").exit_code == 1
    assert run("queue", "hold", "--client", "apps").exit_code == 0


def test_everything_only_on_purpose(node):
    node.answers["/v1/everywhere/queue/delete"] = (
        400,
        {"error": "filter: names nothing; say all: true to mean every message"},
    )
    found = run("queue", "delete")
    assert (found.exit_code, "names nothing" in found.stderr) == (2, True)
    run("queue", "delete", "--all")
    assert node.asked[1][3]["all"] is True


def test_export(node, tmp_path):
    body = b"Subject: x\r\n\r\n\x1b raw \xff"
    node.answers["/v1/messages/id1/body"] = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    assert run("queue", "export", "id1").stdout_bytes == body
    place = tmp_path / "one.eml"
    assert run("queue", "export", "id1", "-o", place).exit_code == 0
    assert place.read_bytes() == body
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    again = run("queue", "export", "id1", "-o", place)
    assert again.exit_code == 2
    assert "File exists; nothing was written" in again.stderr
    missing = run("queue", "export", "id1", "-o", tmp_path / "no" / "where")
    assert (missing.exit_code, "No such file" in missing.stderr) == (2, True)


def test_a_failed_export_leaves_no_file(node, tmp_path):
    place = tmp_path / "one.eml"
    assert run("queue", "export", "gone", "-o", place).exit_code == 1
    node.answers["/v1/messages/cut/body"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    assert run("queue", "export", "cut", "-o", place).exit_code == 3
    assert not place.exists()


MINE = {**view(), "node": "n2"}


@pytest.mark.parametrize(
    ("views", "says"),
    [
        ([{**MINE, "protected": False}], "n2, on this machine alone"),
        ([{**MINE, "protected": None}], "n2\n"),
        ([MINE, {**MINE, "node": "n3", "place": "copy"}], "n2, kept on two machines; also a copy at n3"),
        ([{**MINE, "place": "copy", "protected": None}], "a copy at n2"),
        ([{**MINE, "place": "past", "protected": None}], "history of another node's mail at n2"),
        ([{**MINE, "place": "shut", "protected": None}], "a spool not in use at n2"),
    ],
)
def test_trace_says_which_machines_have_a_message(node, views, says):
    node.answers["/v1/everywhere/messages/019ab3c2-0000"] = found(*views)
    shown = run("trace", "019ab3c2-0000")
    assert (shown.exit_code, says in shown.stdout) == (0, True), shown.stdout
    whole = json.loads(run("trace", "019ab3c2-0000", "--json").stdout)
    assert whole == {**views[0], "elsewhere": [{"node": each["node"], "place": each["place"]} for each in views[1:]]}


def test_a_message_nobody_has_is_exit_1(node):
    node.answers["/v1/everywhere/messages/none"] = found()
    said = run("trace", "none")
    assert (said.exit_code, "no message of that id" in said.stderr) == (1, True)
    node.answers["/v1/everywhere/messages/none"] = found(n3="timed out")
    said = run("queue", "show", "none")
    assert said.exit_code == 1
    assert "not asked: n3: timed out" in said.stderr
    assert "no message of that id at those that answer" in said.stderr


@pytest.mark.parametrize("command", [["queue", "list"], ["trace", "--to", "bob@example.com"]], ids=" ".join)
def test_a_listing_that_is_not_whole_names_who_is_missing_and_is_exit_1(node, command):
    node.answers["/v1/everywhere/messages"] = found(view(), n3=EVIL)
    for more in ((), ("--json",)):
        said = run(*command, *more)
        assert (said.exit_code, "019ab3c2-0000" in said.stdout) == (1, True)
        assert "not asked: n3: " in said.stderr
        assert not CONTROLS.search(said.stderr.replace("\n", ""))


def test_an_action_one_node_has_not_heard_of_is_exit_1(node):
    node.answers["/v1/everywhere/queue/hold"] = {"changed": 2, "more": False, "missing": {"n3": "timed out"}}
    said = run("queue", "hold", "--client", "apps")
    assert (said.exit_code, "2 recipient(s) changed" in said.stdout) == (1, True)
    assert "not asked: n3: timed out" in said.stderr
    said = run("queue", "hold", "--client", "apps", "--json")
    assert (said.exit_code, json.loads(said.stdout)) == (1, {"changed": 2, "missing": {"n3": "timed out"}})


@pytest.mark.parametrize("command", [["queue", "list"], ["queue", "show", "019ab3c2-0000"], ["trace", "019ab3c2-0000"]])
def test_here_asks_for_this_node_only(node, command):
    run(*command, "--here")
    assert node.asked[0][2]["here"] == "true"
    run(*command)
    assert "here" not in node.asked[1][2]


def test_export_says_which_node_has_a_message(node):
    node.answers["/v1/everywhere/messages"] = found({**view(), "node": "n2"})
    said = run("queue", "export", "019ab3c2-0000")
    assert (said.exit_code, "it is at n2, export it there" in said.stderr) == (1, True)
    assert node.asked[1][2] == {"ids": "019ab3c2-0000"}
    node.answers["/v1/everywhere/messages"] = found({**view(), "finished_ms": T0})
    assert "export it there" not in run("queue", "export", "019ab3c2-0000").stderr


@pytest.mark.parametrize(
    ("command", "asked", "said"),
    [
        (["account", "park", "a"], ("/v1/accounts/park", "a"), "a: parked"),
        (
            ["account", "resume", "path/contoso/submission"],
            ("/v1/accounts/resume", "path/contoso/submission"),
            "resumed",
        ),
        (["client", "resume", "apps"], ("/v1/accounts/resume", "client/apps"), "client/apps: resumed"),
    ],
)
def test_accounts(node, command, asked, said):
    found = run(*command, "--reason", "because")
    assert found.exit_code == 0
    assert said in found.stdout
    assert node.asked[0][1] == asked[0]
    assert node.asked[0][3] == {"account": asked[1], "reason": "because"}


def test_an_account_that_is_not_there_is_exit_1(node):
    node.answers["/v1/accounts/park"] = (404, {"error": "account: there is no account or scope 'x'"})
    found = run("account", "park", "x")
    assert (found.exit_code, "no account or scope 'x'" in found.stderr) == (1, True)


WRONG = [
    ["trace"],
    ["trace", "--since", "yesterday"],
    ["trace", "--to", "x", "--limit", "0"],
    ["queue", "list", "--limit", "ten"],
    ["queue", "list", "--since", "2026-13-01"],
    ["queue", "burn"],
    ["account", "park"],
    ["route", "explain"],
    ["route", "explain", "--from", "a@contoso.com"],
    ["route", "explain", "--from", "a@contoso.com", "--to", "b@example.com", "--size", "12"],
    ["route", "explain", "--reply", "hello"],
    ["route", "explain", "--reply", "550 x", "--stage", "lunch"],
    ["nonsense"],
]


@pytest.mark.parametrize("command", WRONG, ids=" ".join)
def test_wrong_use_is_exit_2(node, command):
    assert run(*command).exit_code == 2


@pytest.mark.parametrize("command", [each[0] for each in LISTINGS], ids=[" ".join(each[0][:2]) for each in LISTINGS])
def test_no_node_is_exit_3(command, tmp_path, monkeypatch):
    monkeypatch.setenv("RELAY_SOCKET", str(tmp_path / "none"))
    found = run(*command)
    assert found.exit_code == 3
    assert "No such file" in found.stderr
    assert found.stdout == ""
