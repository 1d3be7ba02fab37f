"""An event loop whose clock jumps to the next timer: days of waiting in seconds; no real I/O may be awaited on it."""

import asyncio
import selectors


class _Jumping(selectors.SelectSelector):
    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.threads = 0
        """Jobs in threads: they are done in no time, so the clock stands still for them."""

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and self.threads:
            return super().select(0.05)
        if not ready and timeout is None:
            raise RuntimeError("nothing will ever happen on this loop")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """``time()`` begins at 1,000 s."""

    def __init__(self):
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def run_in_executor(self, executor, func, *args):
        self._jumping.threads += 1
        job = super().run_in_executor(executor, func, *args)
        job.add_done_callback(self._joined)
        return job

    def _joined(self, _job):
        self._jumping.threads -= 1

    def time(self):
        return 1_000.0 + self._jumping.now

    def now_ms(self):
        return int(self.time() * 1_000)


def run_virtual(main):
    """Run ``main(loop)`` to its end."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        if pending:
            loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
