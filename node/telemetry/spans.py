"""A bounded queue between mail and the span exporter: a slow exporter costs spans, never time."""

from collections import deque
from collections.abc import Callable, Sequence
from threading import Event, Thread

from node.telemetry.contract import FinishedSpan

QUEUE_MAX = 32_768
"""Spans kept while the exporter is slow; the oldest are dropped beyond it and counted."""
BATCH_MAX = 2_048
DELAY_S = 1.0


class SpanQueue:
    """Hands finished spans to ``export`` in batches from its own thread."""

    def __init__(self, export: Callable[[Sequence[FinishedSpan]], None], on_drop: Callable[[int], None]) -> None:
        """Start the thread; ``export`` may block and may raise, neither is felt by ``put``."""
        self._export = export
        self._on_drop = on_drop
        self._queue: deque[FinishedSpan] = deque()
        self._wake = Event()
        self._closing = False
        self._thread = Thread(target=self._run, name="span-export", daemon=True)
        self._thread.start()

    def put(self, span: FinishedSpan) -> None:
        """Queue one span; drops the oldest when full."""
        queue = self._queue
        if len(queue) >= QUEUE_MAX:
            queue.popleft()
            self._on_drop(1)
        queue.append(span)
        if len(queue) >= BATCH_MAX and not self._wake.is_set():
            self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Export what is queued, for at most ``timeout_s``; the rest is dropped and counted."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)
        if self._queue:
            self._on_drop(len(self._queue))

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(DELAY_S)
            self._wake.clear()
            self._drain()
        self._drain()

    def _drain(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
            try:
                self._export(batch)
            except Exception:  # noqa: BLE001 - an exporter's fault must never end the thread; counted instead
                self._on_drop(len(batch))
