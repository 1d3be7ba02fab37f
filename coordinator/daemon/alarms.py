"""Collects what goes wrong: logged once a minute for each text, counted, and the newest kept for the status page."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from coordinator.runner import boottime_ms

AGAIN_MS: Final = 60_000
TEXTS_MAX: Final = 100
KEPT: Final = 20

_log = logging.getLogger("coordinator")


class Alarms:
    """What went wrong since the start; bounded."""

    def __init__(self, now_ms: Callable[[], int] = boottime_ms) -> None:
        """Nothing yet."""
        self.total = 0
        self._now_ms = now_ms
        self._newest: deque[str] = deque(maxlen=KEPT)
        self._told_ms: dict[str, int] = {}
        self._about: dict[str, str] = {}

    def raise_(self, text: str, *, about: str = "") -> None:
        """Take one; ``about`` names the address it concerns."""
        now_ms = self._now_ms()
        self.total += 1
        if about:
            self._about[about] = text
        if now_ms - self._told_ms.get(text, -AGAIN_MS) < AGAIN_MS:
            return
        if len(self._told_ms) >= TEXTS_MAX:
            self._told_ms.pop(next(iter(self._told_ms)))
        self._told_ms.pop(text, None)
        self._told_ms[text] = now_ms
        self._newest.append(text)
        _log.warning("alarm", extra={"cause": text, **({"address": about} if about else {})})

    @property
    def newest(self) -> tuple[str, ...]:
        """Give the newest texts, newest last."""
        return tuple(self._newest)

    def about(self, name: str) -> str:
        """Give the newest text about an address; empty when there was none."""
        return self._about.get(name, "")
