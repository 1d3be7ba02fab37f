"""What its owner does not know is brought to it, and questions that are none are refused; on disks and over TLS."""

from hashlib import blake2b

import msgspec
import pytest

from node.policy.envelope import OnUnknown, RecipientState
from node.shadow import questions
from node.shadow.entries import Discard, Intent
from node.shadow.errors import Refused
from node.shadow.questions import PART_BYTES
from node.shadow.words import answer_of
from node.spool.contract import Filter
from node.spool.rows import facts_of
from tests.support.copies import OWNER, SHADOW, attached, batch
from tests.support.copies_house import kept_ids
from tests.support.spares_house import NOW, PAIR, SparesHouse, body_of, compare, copied, keep, put
from tests.support.spool_mail import BODY, T0, attempt, message, outcome, settlement

S = RecipientState


@pytest.fixture
async def house(tmp_path):
    async with SparesHouse(tmp_path) as house:
        yield house


# ---- bringing --------------------------------------------------------------------------------------------------------


async def test_a_large_body_is_brought_with_all_that_is_known_of_it(house, tmp_path):
    owner, shadow = house.owner, house.shadow
    made = message(to=("a@x.example", "b@x.example", "c@x.example"), on_unknown=OnUnknown.VERIFY)
    body = bytes(range(256)) * 12_000
    await put(shadow, made, body)  # stands for a copy that came in pieces
    start = attempt(made, 2)
    assert await shadow.spool.claim(start)
    await shadow.spool.settle(settlement(start, outcome(2, S.DEFERRED, "busy", next_attempt_ms=NOW + 5)))
    await shadow.align(OWNER)
    intent = Intent(message_id=made.id, attempt_id="a1", indexes=(0,), dot_ms=T0)
    stream = await shadow.copies.begin(PAIR, OWNER)
    await shadow.copies.put(PAIR, batch(1, intent, stream=stream))
    owner.sees(OWNER)
    await compare(shadow)
    assert await body_of(owner.spool, made.id) == body
    view = await owner.spool.journey(made.id)
    assert [each.state for each in view.recipients] == [S.UNKNOWN, S.QUEUED, S.DEFERRED]
    assert [line.event for line in view.lines] == ["accepted", "claimed", "deferred", "adopted", "unknown"]
    assert list((tmp_path / OWNER / "incoming").iterdir()) == []
    assert await kept_ids(shadow.copies, PAIR) == [made.id]
    await compare(shadow)
    assert len(await owner.spool.find(Filter())) == 1


async def say(house, part, node=OWNER):
    to = {OWNER: house.owner, SHADOW: house.shadow}[node]
    handler = to.routes()[questions.BRING]
    return answer_of(await handler(SHADOW, questions.encoded(part))).said


def part_of(made, start, data, **more):
    return questions.Brought(**questions.about(PAIR), message_id=made.id, start=start, data=data, **more)


def last_of(made, start, body, **more):
    whole = {"last": True, "size_bytes": len(body), "digest": blake2b(body, digest_size=16).digest()}
    return part_of(made, start, body[start:], **(whole | {"facts": facts_of(made)} | more))


async def test_a_body_that_is_not_whole_is_not_taken(house, tmp_path):
    house.owner.sees(OWNER)
    made, body = message(), b"abcdefgh"
    for broken in (
        last_of(made, 4, body),
        last_of(made, 0, body, digest=b"x" * 16),
        last_of(made, 0, body, size_bytes=7),
        last_of(made, 0, body, facts=facts_of(message())),
        last_of(made, 0, body, facts=b"no facts"),
    ):
        with pytest.raises(Refused):
            await say(house, broken)
    assert await say(house, part_of(made, 0, body[:4])) == "m"
    with pytest.raises(Refused):
        await say(house, last_of(made, 6, body))
    assert await say(house, last_of(made, 4, body)) == "t"
    assert await body_of(house.owner.spool, made.id) == body
    assert list((tmp_path / OWNER / "incoming").iterdir()) == []


async def test_one_begun_anew_replaces_what_was_gathered(house):
    house.owner.sees(OWNER)
    made, other = message(), message()
    assert await say(house, part_of(other, 0, b"other")) == "m"
    assert await say(house, part_of(made, 0, b"abcd")) == "m"
    assert await say(house, last_of(made, 4, b"abcdefgh")) == "t"
    with pytest.raises(Refused):
        await say(house, last_of(other, 5, b"other one"))


NOT_MINE = {
    "another owns it": ({"owner": SHADOW}, "r"),
    "not this epoch yet": ({"owner": OWNER, "epoch": 6}, "r"),
    "void, and mine": ({"owner": OWNER, "void": True}, "t"),
    "an epoch that is over": ({"owner": OWNER, "epoch": 8}, "t"),
}


@pytest.mark.parametrize(("seen", "word"), NOT_MINE.values(), ids=NOT_MINE.keys())
async def test_only_what_is_mine_is_taken(house, seen, word):
    house.owner.sees(**seen)
    made = message()
    assert await say(house, last_of(made, 0, BODY)) == word
    assert await say(house, last_of(made, 0, BODY)) == "r", "and once"
    if word == "t":
        found = (await house.owner.spool.look([made.id]))[made.id]
        assert (found.confirmed, found.pairing > 0) == (False, seen.get("epoch", 7) == 7)


async def test_a_spare_here_or_one_that_is_history_is_not_taken(house):
    spare, settled = message(), message()
    await keep(house.owner, copied(spare), pair=attached(3, "33333333-3333-4333-8333-333333333333"))
    await keep(house.owner, copied(settled), Discard(message_ids=(settled.id,), at_ms=T0), pair=attached(2))
    house.owner.sees(OWNER)
    for made in (spare, settled):
        assert await say(house, last_of(made, 0, BODY)) == "r"


# ---- questions that are none -----------------------------------------------------------------------------------------

BAD = {
    "no question": (questions.COMPARE, b"\xc1", "malformed"),
    "too many": (questions.COMPARE, {"ids": ["a"] * 1_001}, "too-large"),
    "an id that names no file": (questions.COMPARE, {"ids": ["../x"]}, "malformed"),
    "a spool that is no UUID": (questions.SETTLED, {"ids": [], "spool": "x"}, "malformed"),
    "no epoch": (questions.SETTLED, {"ids": [], "epoch": 0}, "malformed"),
    "no node": (questions.SETTLED, {"ids": [], "shadow": ""}, "malformed"),
    "another version": (questions.COMPARE, {"ids": [], "version": 2}, "wrong-version"),
    "a part too large": (
        questions.BRING,
        {"message_id": "a", "start": 0, "data": b"x" * (PART_BYTES + 1)},
        "too-large",
    ),
    "a place beyond": (questions.BRING, {"message_id": "a", "start": 160 << 20, "data": b"x"}, "too-large"),
    "a place before": (questions.BRING, {"message_id": "a", "start": -1, "data": b"x"}, "too-large"),
    "no revision": (questions.ASK_BACK, {}, "malformed"),
}


@pytest.mark.parametrize(("route", "said", "word"), BAD.values(), ids=BAD.keys())
async def test_questions_that_are_none_are_refused_with_the_reason(house, route, said, word):
    body = said if isinstance(said, bytes) else msgspec.msgpack.encode(questions.about(PAIR) | said)
    with pytest.raises(Refused) as refused:
        answer_of(await house.shadow.routes()[route](OWNER, body))
    assert refused.value.said == word


async def test_nothing_is_answered_before_the_spool_is_judged(house):
    house.owner.keeper.judged = False
    house.owner.sees(OWNER)
    with pytest.raises(Refused) as refused:
        await say(house, last_of(message(), 0, BODY))
    assert refused.value.said == "busy"
