"""Runs one coroutine on uvloop; the only file here that knows it."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

_T = TypeVar("_T")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run ``work`` to its end and give its result."""
    return uvloop.run(work)


def on_stop_signal(call: Callable[[], None]) -> None:
    """Call on SIGINT and SIGTERM; to be used inside a running loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, call)
