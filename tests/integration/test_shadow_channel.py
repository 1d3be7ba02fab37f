"""Copies over mutual TLS on loopback, kept on a real disk."""

import asyncio

import pytest

from node.shadow.outbox import Kept, Pace
from tests.support.copies import attached
from tests.support.copies_house import CopiesHouse, kept_ids
from tests.support.spool_mail import BODY, accepted, message

PAIR = attached()
CALM = Pace(copy_wait_s=20, silence_s=20)
"""Where timing is not what is tested, a busy machine must not decide."""


@pytest.fixture
async def house(tmp_path):
    house = CopiesHouse(tmp_path)
    yield house
    await house.close()


@pytest.fixture
async def copies(house):
    copies = await house.store()
    await house.serve(copies)
    return copies


async def begun(house, pace=CALM, **options):
    sender = house.sender(pace, **options)
    await sender.begin()
    return sender


async def test_a_message_is_copied_and_kept_as_it_was_accepted(house, copies):
    sender = await begun(house)
    made = message()
    assert await sender.copy_soon(accepted(made)) is Kept.COPIED
    assert await kept_ids(copies, PAIR) == [made.id]
    assert await copies.body(PAIR, made.id) == BODY
    assert sender.store == copies.store_id


async def test_many_at_once_go_in_few_batches_and_all_arrive(house, copies):
    sender = await begun(house)
    made = [message() for _ in range(2_000)]
    kept = await asyncio.gather(*(sender.copy_soon(accepted(each)) for each in made))
    assert set(kept) == {Kept.COPIED}
    assert await kept_ids(copies, PAIR) == sorted(each.id for each in made)
    known = await copies.stream(PAIR)
    assert known.expected <= 20
