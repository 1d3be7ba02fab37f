"""Protocols on the peer channel: who is answered in which, and what is refused by name instead of failing to decode."""

import json

import pytest

from coordinator.peers.contract import PeerRefused, WrongProtocol
from coordinator.peers.versions import HEADER, Speaks
from tests.support.peers import PeerHouse
from tests.support.releases import ONE_NEWER, TODAY, TWO_NEWER

OLD, NEW, NEXT = TODAY.release, ONE_NEWER.release, TWO_NEWER.release


@pytest.fixture
async def house(tmp_path):
    house = PeerHouse(tmp_path)
    async with house.closing:
        yield house


async def ask(house, protocol, route="echo", node="relay-a"):
    client = house.client(node, protocol=lambda: protocol)
    return await client.ask("relay-b", route, b"x", timeout_s=3)


@pytest.mark.parametrize(
    ("server", "asked"),
    [(OLD, 1), (NEW, 1), (NEW, 2), (NEXT, 2), (NEXT, 3)],
    ids=lambda value: getattr(value, "version", value),
)
async def test_every_protocol_a_process_knows_is_answered(house, server, asked):
    await house.server("relay-b", speaks=server.speaks)
    assert await ask(house, asked) == b"relay-a:x"


@pytest.mark.parametrize(
    ("server", "asked", "says"),
    [
        (OLD, 2, f"protocol 2 is not spoken here: version {OLD.version} speaks 1"),
        (NEW, 3, "protocol 3 is not spoken here: version 0.2.0 speaks 1 to 2"),
        (NEXT, 1, "protocol 1 is not spoken here: version 0.3.0 speaks 2 to 3"),
    ],
)
async def test_any_other_is_refused_with_both_before_the_body_is_looked_at(house, server, asked, says):
    heard = []

    async def hear(node, body):
        heard.append(body)
        return b""

    await house.server("relay-b", {"echo": hear}, speaks=server.speaks)
    with pytest.raises(WrongProtocol, match=says) as caught:
        await ask(house, asked)
    assert not caught.value.temporary
    assert heard == []
    assert await ask(house, server.protocols[0]) == b"", "the connection and the next question are none the worse"


async def test_a_stranger_does_not_learn_what_is_spoken(house):
    await house.server("relay-b", speaks=OLD.speaks)
    with pytest.raises(PeerRefused, match="is not on the list") as caught:
        await ask(house, 9, node="relay-z")
    assert not isinstance(caught.value, WrongProtocol)


async def test_a_route_that_is_not_known_is_refused_by_its_name_and_the_version(house):
    await house.server("relay-b", speaks=NEW.speaks)
    with pytest.raises(PeerRefused, match=r"there is no route 'moon' here: version 0\.2\.0 speaks 1 to 2"):
        await ask(house, 2, route="moon")


async def test_the_protocol_is_looked_up_at_each_question(house):
    await house.server("relay-b", speaks=OLD.speaks)
    now = [1]
    client = house.client("relay-a", protocol=lambda: now[0])
    assert await client.ask("relay-b", "echo", b"", timeout_s=3) == b"relay-a:"
    now[0] = 2
    with pytest.raises(WrongProtocol):
        await client.ask("relay-b", "echo", b"", timeout_s=3)


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        (None, False), ("1", False), ("2", False), ("3", True), ("0", True), ("", True), ("one", True), ("-1", True),
        ("1.0", True), ("²", True), ("1" * 10, True),
    ],
)  # fmt: skip
def test_what_the_header_says(said, refused):
    assert bool(Speaks(oldest=1, newest=2).refusal(said)) is refused


def test_questions_that_do_not_say_are_of_the_first_version():
    assert Speaks(oldest=2, newest=3, version="0.3.0").refusal(None) == (
        "protocol 1 is not spoken here: version 0.3.0 speaks 2 to 3"
    )
    assert HEADER in Speaks().refusal("x")


def test_fields_of_newer_versions_are_passed_over_in_every_question_and_answer():
    import msgspec

    from coordinator import early_keeper
    from coordinator.daemon import peering
    from node.app import answers, cluster_level, clustered, owning
    from node.cluster import clocks, silence
    from node.shadow import questions, words

    strict = []
    for module in (early_keeper, peering, answers, cluster_level, clustered, owning, clocks, silence, questions, words):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__:
                strict += [kind.__name__] if kind.__struct_config__.forbid_unknown_fields else []
    assert strict == []


def test_a_begin_of_copies_with_more_in_it_is_read():
    from node.shadow.words import Begin, begin_of, encode

    spool = "00000000-0000-4000-8000-000000000001"
    begin = Begin(cluster="c", spool=spool, copy="00000000-0000-4000-8000-000000000002", epoch=1)
    assert begin_of(json.dumps(json.loads(encode(begin)) | {"later": [1]}).encode()) == begin
