"""A lane that ends is the end only where mail goes by it; the core closes one it does not want, sooner or later."""

import itertools

import pytest

from node.intake.remote import RemoteDoor


class Line:
    """A transport or a lane that knows what was done to it."""

    def __init__(self):
        self.ended = False

    def abort(self):
        self.ended = True

    def close(self):
        self.ended = True


@pytest.mark.parametrize(("wanted", "order"), list(itertools.product([True, False], ["welcome first", "end first"])))
async def test_the_end_of_a_lane(wanted, order):
    door = RemoteDoor(lambda _: None, lambda: None)
    channel, door.lane = Line(), Line()
    door._transport = channel
    steps = [lambda: door._welcomed(lane=wanted), door.lane_lost]
    for step in steps if order == "welcome first" else reversed(steps):
        step()
    assert channel.ended is wanted
    assert (door.lane is None) is not wanted


async def test_a_lane_that_lives_ends_nothing():
    door = RemoteDoor(lambda _: None, lambda: None)
    channel, door.lane = Line(), Line()
    door._transport = channel
    door._welcomed(lane=True)
    assert not channel.ended
    assert door.lane is not None
