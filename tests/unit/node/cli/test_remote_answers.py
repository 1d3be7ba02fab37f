"""What the commands make of any answer a node may give, and of none."""

import getpass
import socket

import pytest

from node.cli.remote import RefusedError, Remote, UnreachableError, WrongUseError, find_socket
from tests.support.fake_node import FakeNode


@pytest.fixture
def node(tmp_path):
    with FakeNode(tmp_path / "s") as made:
        yield made


def test_an_answer_is_decoded_and_the_question_kept_whole(node):
    node.answers["/v1/messages/a b/ü?x"] = {"id": 1}
    assert Remote(node.path).get("/v1/messages/a b/ü?x", sender="a&b=c@x", limit=0, client="") == {"id": 1}
    method, path, query, _, _ = node.asked[0]
    assert (method, path, query) == ("GET", "/v1/messages/a b/ü?x", {"sender": "a&b=c@x", "limit": "0"})


def test_post_sends_json_and_who_asks(node, monkeypatch):
    monkeypatch.setenv("SUDO_USER", "eve\r\nX-Evil: 1ü")
    node.answers["/x"] = {"changed": 1}
    Remote(node.path).post("/x", {"reason": "warum nötig"})
    assert node.asked[0][3:] == ({"reason": "warum nötig"}, "eve??X-Evil: 1?")


def test_a_user_without_a_name_still_asks(node, monkeypatch):
    monkeypatch.delenv("SUDO_USER", raising=False)

    def nameless():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    node.answers["/x"] = {}
    Remote(node.path).get("/x")
    assert node.asked[0][4].startswith("uid ")


def test_not_ready_is_an_answer_not_an_error(node):
    node.answers["/ready"] = (503, {"ready": False, "reasons": ["x"]})
    assert Remote(node.path).get("/ready") == {"ready": False, "reasons": ["x"]}


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        ((400, {"error": "limit: wrong"}), WrongUseError, "limit: wrong"),
        ((413, {"error": "body: more"}), WrongUseError, "body: more"),
        ((404, {"error": "no message"}), RefusedError, "no message"),
        ((503, {"error": "the disk is full"}), RefusedError, "the disk is full"),
        ((500, ["?"]), RefusedError, "the node answered 500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", RefusedError, "200 with 2 bytes that are no JSON"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", RefusedError, "500 with 0 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{}", UnreachableError, "cut off"),
        (b"220 smtp ready\r\n", UnreachableError, "node at"),
        (b"", UnreachableError, "closed connection without response"),
    ],
)
def test_every_other_answer_is_one_sentence(node, answer, kind, text):
    node.answers["/x"] = answer
    with pytest.raises(RefusedError if kind is not UnreachableError else kind, match=text) as caught:
        Remote(node.path).get("/x")
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_download(node):
    node.answers["/body"] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    parts = []
    assert Remote(node.path).download("/body", parts.append) == 5
    assert b"".join(parts) == b"hello"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((404, {"error": "gone"}), RefusedError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", UnreachableError),
    ],
)
def test_a_download_that_fails_says_so(node, answer, kind):
    node.answers["/body"] = answer
    with pytest.raises(kind):
        Remote(node.path).download("/body", bytes)


def test_no_socket_and_nobody_behind_it(tmp_path):
    with pytest.raises(UnreachableError, match="No such file"):
        Remote(tmp_path / "none").get("/x")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left"))
    with pytest.raises(UnreachableError, match="Connection refused"):
        Remote(tmp_path / "left").get("/x")
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreachableError):
        Remote(tmp_path / "file").get("/x")
    with pytest.raises(UnreachableError, match="too long"):
        Remote(tmp_path / ("x" * 200)).get("/x")


def test_the_socket_is_chosen_as_told_then_by_environment_then_by_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELAY_SOCKET", "/from/environment")
    assert str(find_socket(tmp_path / "x")) == str(tmp_path / "x")
    assert str(find_socket(None)) == "/from/environment"
    monkeypatch.delenv("RELAY_SOCKET")
    (tmp_path / "var" / "run").mkdir(parents=True)
    (tmp_path / "var" / "run" / "admin.sock").touch()
    assert str(find_socket(None)) == "var/run/admin.sock"
