"""A process that did not run says so, how long, and whose doing it was."""

import asyncio
import contextlib
import time

import pytest

from coordinator.daemon.lateness import NOTED_MS, TELLS_MS, TICK_S, Lateness, Pause, pause

TICK_MS = round(TICK_S * 1_000)
STARVED = "this process was not run: its host has too little processor time, or stood still"
BUSY = "this process was held up by work of its own"


@pytest.mark.parametrize(
    ("slept_ms", "late_ms"),
    [(TICK_MS, None), (0, None), (TICK_MS + NOTED_MS - 1, None), (TICK_MS + NOTED_MS, NOTED_MS), (90_000, 89_900)],
)
def test_a_pause_is_what_is_longer_than_a_heartbeats_period(slept_ms, late_ms):
    found = pause(slept_ms=slept_ms, worked_ms=0)
    assert (found.late_ms if found else None) == late_ms


@pytest.mark.parametrize(("worked_ms", "cause"), [(0, STARVED), (400, STARVED), (401, BUSY), (5_000, BUSY)])
def test_whose_doing_it_was(worked_ms, cause):
    assert Pause(late_ms=800, worked_ms=worked_ms).cause == cause


def test_all_count_and_long_ones_are_told():
    told = []
    lateness = Lateness(told.append)
    lateness.take(Pause(late_ms=TELLS_MS - 1, worked_ms=0))
    assert told == []
    lateness.take(Pause(late_ms=TELLS_MS, worked_ms=0))
    lateness.take(Pause(late_ms=NOTED_MS, worked_ms=0))
    assert told == [STARVED]
    assert (lateness.total_ms, lateness.worst_ms) == (2 * TELLS_MS - 1 + NOTED_MS, TELLS_MS)


async def test_a_loop_that_stands_still_is_noticed():
    told = asyncio.Event()
    lateness = Lateness(lambda _: told.set())
    running = asyncio.ensure_future(lateness.run())
    await asyncio.sleep(0)
    time.sleep(TICK_S + TELLS_MS / 1_000 + 0.05)  # noqa: ASYNC251 - what is to be noticed
    async with asyncio.timeout(10):
        await told.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert lateness.worst_ms >= TELLS_MS
