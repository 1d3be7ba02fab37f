"""What the administration interface can do ``relayctl`` can do: each route has a command, or a reason for none."""

import re

import pytest
from typer.testing import CliRunner

from node.__main__ import app
from node.admin.routes import HEALTH, ROUTES
from tests.support.fake_node import FakeNode

EVERY = (*HEALTH, *ROUTES)
WHY = ("--reason", "x")
COMMANDS = {
    "GET /metrics": ["top", "--once"],
    "GET /v1/status": ["status"],
    "GET /v1/messages/{id}/body": ["queue", "export", "a"],
    "GET /v1/everywhere/messages": ["queue", "list"],
    "GET /v1/everywhere/messages/{id}": ["trace", "a"],
    "POST /v1/queue/{action}": ["queue", "hold", "a", "--here", *WHY],
    "POST /v1/everywhere/queue/{action}": ["queue", "hold", "a", *WHY],
    "GET /v1/accounts": ["account", "list"],
    "POST /v1/accounts/{action}": ["account", "park", "a", *WHY],
    "GET /v1/budget": ["budget"],
    "GET /v1/shares": ["budget"],
    "GET /v1/cluster": ["cluster", "members"],
    "POST /v1/wishes": ["drain", "a", *WHY],
    "POST /v1/cluster/finalise": ["cluster", "finalise", *WHY],
    "GET /v1/clients": ["client", "seen"],
    "GET /v1/route": ["route", "explain", "--live", "--from", "b@example.com", "--to", "a@example.com"],
    "GET /v1/history": ["history", "--to", "a@example.com"],
    "POST /v1/everywhere/erase": ["erase", "a@example.com", *WHY],
    "GET /v1/erasures": ["erase"],
    "GET /v1/approvals": ["approval", "list"],
    "POST /v1/approvals/{id}/{action}": ["approval", "yes", "a", *WHY],
    "POST /v1/sign-in/once": ["token", "once"],
    "GET /v1/reports": ["m365", "reports"],
    "GET /v1/reports/{number}/body": ["m365", "reports", "--export", "1"],
    "POST /v1/suppressed/remove": ["m365", "suppressed", "--remove", "a@example.com"],
    "POST /v1/disaster/release-spool": ["disaster", "release-spool", *WHY],
    "GET /v1/messages": ["support", "bundle.tar.gz"],
}
EXCEPT = {
    "GET /live": "for a load balancer; a command that gets an answer knows it",
    "GET /ready": "for a load balancer; `status` shows it with the reasons",
    "POST /v1/erase": "`erase` asks all nodes: /v1/everywhere/erase",
    "POST /v1/part": "for the host's own coordinator; `vip move` and `drain` begin what it is a part of",
    "GET /v1/audit": "`audit list` reads the files, which can be checked where no node runs",
    "GET /v1/messages/{id}": "`queue show` and `trace` ask all nodes, or with --here this one, of /v1/everywhere",
}


def named(route) -> str:
    return f"{route.method} {route.path}"


def test_every_route_has_a_command_or_a_reason_and_none_is_named_that_is_gone():
    assert {named(route) for route in EVERY} == COMMANDS.keys() | EXCEPT.keys()
    assert not COMMANDS.keys() & EXCEPT.keys()


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A node that knows nothing but an empty page of metrics: what it was asked is what counts."""
    empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    status = {"node": "a", "readiness": {"ready": True, "reasons": []}}
    once = {"token": "t", "until_ms": 1}
    answers = {"/v1/sign-in/once": once, "/metrics": empty, "/v1/status": status, "/v1/budget": [], "/v1/cluster": None}
    with FakeNode(tmp_path / "admin.sock", answers) as made:
        monkeypatch.setenv("RELAY_SOCKET", str(made.path))
        monkeypatch.chdir(tmp_path)
        yield made


@pytest.mark.parametrize("route", [route for route in EVERY if named(route) in COMMANDS], ids=named)
def test_the_command_asks_for_it(node, route):
    CliRunner().invoke(app, COMMANDS[named(route)])
    wanted = re.compile(re.sub(r"\{\w+\}", "[^/]+", route.path))
    assert any(method == route.method and wanted.fullmatch(path) for method, path, *_ in node.asked), node.asked
