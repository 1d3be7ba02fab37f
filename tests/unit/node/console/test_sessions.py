"""Sessions are few and end; what guards them tells ours from others'."""

from itertools import count

import pytest

from node.console.guard import StrangerError, check_host, check_origin, safe_way
from node.console.sessions import EACH_MAX, IDLE_MS, LIFE_MS, SESSIONS_MAX, Sessions


def opened() -> Sessions:
    numbers = count()
    return Sessions(random=lambda _bytes: f"r{next(numbers)}")


def test_an_unused_session_ends_and_a_used_one_ends_too():
    sessions = opened()
    key, _ = sessions.begin("a", 0)
    assert sessions.find(key, IDLE_MS - 1) is not None
    assert sessions.find(key, 2 * IDLE_MS - 1) is None
    key, _ = sessions.begin("a", 0)
    for now_ms in range(0, LIFE_MS, IDLE_MS // 2):
        assert sessions.find(key, now_ms) is not None
    assert sessions.find(key, LIFE_MS) is None


def test_their_number_is_bounded_of_each_token_and_of_all():
    sessions = opened()
    keys = [sessions.begin("a", at)[0] for at in range(EACH_MAX + 5)]
    assert [sessions.find(key, EACH_MAX) is not None for key in keys] == [False] * 5 + [True] * EACH_MAX
    for number in range(SESSIONS_MAX * 2):
        sessions.begin(f"token {number}", 100 + number)
    assert len(sessions) == SESSIONS_MAX


def test_a_form_of_another_session_is_told_apart():
    sessions = opened()
    (_, mine), (_, other) = sessions.begin("a", 0), sessions.begin("a", 0)
    assert mine.meant(mine.csrf)
    assert not mine.meant(other.csrf)
    assert not mine.meant("")
    assert not mine.meant("\udc80é")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8025", "[::1]:8025", "[::1]", "10.1.2.3:1", "Relay-A:8025"])
def test_addresses_and_own_names_are_hosts(host):
    check_host(host, {"relay-a"})


@pytest.mark.parametrize("host", ["", "evil.example", "relay-a.evil.example:8025", "127.0.0.1.evil.example", "[x]"])
def test_other_names_are_not(host):
    with pytest.raises(StrangerError):
        check_host(host, {"relay-a"})


def test_a_change_comes_from_a_page_of_ours():
    check_origin("https://relay-a:8025", "same-origin", "https", "relay-a:8025")
    for origin, site in (("http://relay-a:8025", ""), ("", ""), ("null", ""), ("https://relay-a:8025", "same-site")):
        with pytest.raises(StrangerError):
            check_origin(origin, site, "https", "relay-a:8025")


@pytest.mark.parametrize(
    "way", ["", "//evil.example", "https://evil.example/console/", "/console", "/console/\\x", "/console/\r\nX: y"]
)
def test_the_way_back_never_leaves_the_console(way):
    assert safe_way(way) == "/console/"
    assert safe_way("/console/queue?client=a") == "/console/queue?client=a"
