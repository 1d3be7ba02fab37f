"""A lane that ends is the end only where mail goes by it; the core closes one it does not want, sooner or later."""

import itertools

import pytest

from node.intake.door import DoorState
from node.intake.frames import Welcome
from node.intake.remote import RemoteDoor


class Line:
    """A transport or a lane that knows what was done to it."""

    def __init__(self):
        self.ended = False

    def abort(self):
        self.ended = True

    def close(self):
        self.ended = True


def welcome(*, lane):
    return Welcome(settings=b"", hostname="a", body_directory="/", state=DoorState(), lane=lane)


def opened():
    door, channel, lane = RemoteDoor(lambda _: None, lambda: None), Line(), Line()
    door.connection_made(channel)
    return door, channel, lane


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("order", list(itertools.permutations(["use", "welcome", "end"])))
async def test_the_end_of_a_lane(wanted, order):
    door, channel, lane = opened()
    steps = {"use": lambda: door.use(lane), "welcome": lambda: door._take(welcome(lane=wanted)), "end": door.lane_lost}
    for step in order:
        steps[step]()
    assert channel.ended is wanted
    assert (door.lane is None) is not wanted


@pytest.mark.parametrize("early", [True, False])
async def test_a_lane_that_lives_ends_nothing(early):
    door, channel, lane = opened()
    steps = [lambda: door.use(lane), lambda: door._take(welcome(lane=True))]
    for step in reversed(steps) if early else steps:
        step()
    assert not channel.ended
    assert door.lane is lane


async def test_a_lane_of_a_core_that_is_gone_is_let_go_of():
    door, _, lane = opened()
    door.connection_lost(None)
    door.use(lane)
    assert lane.ended
    assert door.ready.exception() is not None
