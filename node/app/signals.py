"""Signals as events: SIGTERM and SIGINT end, SIGHUP reloads; a second SIGTERM does not wait."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def handled(stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` and ``reload`` on the running loop when asked by signal; handlers are removed afterwards."""
    loop = asyncio.get_running_loop()
    wanted = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
    for number, action in wanted.items():
        loop.add_signal_handler(number, action)
    try:
        yield
    finally:
        for number in wanted:
            loop.remove_signal_handler(number)
