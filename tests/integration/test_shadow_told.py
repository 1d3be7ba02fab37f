"""What telemetry hears when mail changes hands: each message once, with the node it came from; real disks, TLS."""

import pytest

from node.shadow.words import BEGIN, Begin, encode
from node.telemetry.context import parse
from tests.support.copies import COPY, OWNER, SHADOW, SPOOL
from tests.support.spares_house import PAIR, SparesHouse, compare, copied, keep, put
from tests.support.spool_mail import message

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def house(tmp_path):
    async with SparesHouse(tmp_path) as house:
        yield house


async def test_mail_that_changes_hands_is_counted_and_traced_once(house):
    owner, shadow = house.owner, house.shadow
    made = [message(traceparent=TRACE) for _ in range(3)]
    await keep(shadow, *map(copied, made))
    await shadow.align(SHADOW)
    assert shadow.heard.counted("relay_copies_adopted", node=OWNER) == 3
    spans = shadow.heard.named("relay.adopt")
    assert {(span.attributes["relay.queue_id"], span.attributes["relay.from"]) for span in spans} == {
        (each.id, OWNER) for each in made
    }
    assert {span.attributes["relay.epoch"] for span in spans} == {7}
    assert {(span.context.trace_id, span.parent_span_id) for span in spans} == {
        (parse(TRACE).trace_id, parse(TRACE).span_id)
    }
    assert shadow.measures.epoch(await shadow.number()) == 7

    await shadow.align(OWNER)
    assert shadow.heard.counted("relay_copies_given") == 3

    owner.sees(OWNER)
    await compare(shadow)
    assert shadow.heard.counted("relay_copies_compared", answer="send") == 3
    assert owner.heard.counted("relay_copies_brought", node=SHADOW) == 3
    assert {span.attributes["relay.from"] for span in owner.heard.named("relay.adopt")} == {SHADOW}
    assert owner.measures.epoch(await owner.number()) == 7
    await compare(shadow)
    assert shadow.heard.counted("relay_copies_compared", answer="keep") == 3
    assert owner.heard.counted("relay_copies_brought", node=SHADOW) == len(owner.heard.named("relay.adopt")) == 3


async def test_what_is_in_the_spool_from_before_a_crash_is_not_told_again(house):
    made = message(traceparent=TRACE)
    await put(house.shadow, made)
    await keep(house.shadow, copied(made))
    await house.shadow.align(SHADOW)
    assert not house.shadow.heard.spans
    assert house.shadow.heard.counted("relay_copies_adopted", node=OWNER) == 0


async def test_the_epochs_of_what_was_there_before_are_known_after_the_first_look(house):
    node = house.shadow
    number = await node.number()
    await put(node, message())
    assert node.measures.epoch(number) == 0
    await node.align(SHADOW)
    assert node.measures.epoch(number) == PAIR.epoch


async def test_copies_refused_here_are_counted_by_the_word(house):
    house.shadow.sees(OWNER)
    question = Begin(cluster="another", spool=SPOOL, copy=COPY, epoch=7)
    await house.shadow.receiver.begin(OWNER, encode(question))
    assert house.shadow.heard.counted("relay_copies_turned_away", reason="wrong-cluster") == 1
    assert BEGIN in house.shadow.routes()
