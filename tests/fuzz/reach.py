"""Which steps from line to line an execution takes, so that an input that goes a new way is kept.

By ``sys.settrace``: slower than a compiled tool's counters, but it needs nothing that is not there, and what is fuzzed
is small. Only files below the watched folders are followed.
"""

import sys
from collections.abc import Callable, Sequence
from types import CodeType, FrameType
from typing import Any, Self

from tests.fuzz.target import ROOT

Step = tuple[CodeType, int, int]
AT_EXCEPTION = -1


class Reach:
    """``with reach: …`` gathers into ``steps``; everything ever seen is in ``seen``."""

    def __init__(self, watched: Sequence[str]) -> None:
        self._prefixes = tuple(f"{ROOT / path}" for path in watched)
        self._known: dict[CodeType, bool] = {}
        self.steps: set[Step] = set()
        self.seen: set[Step] = set()

    def __enter__(self) -> Self:
        self.steps = set()
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def new(self) -> bool:
        """Whether the last execution went a way that no other had; it is known from now on."""
        fresh = not self.steps <= self.seen
        self.seen |= self.steps
        return fresh

    def _called(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        follow = self._known.get(code)
        if follow is None:
            follow = self._known[code] = code.co_filename.startswith(self._prefixes)
        return self._walk(code) if follow else None

    def _walk(self, code: CodeType) -> Callable[..., Any]:
        steps, last = self.steps, -code.co_firstlineno

        def step(frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
            nonlocal last
            if event == "line":
                steps.add((code, last, frame.f_lineno))
                last = frame.f_lineno
            elif event == "exception":
                steps.add((code, last, AT_EXCEPTION))
            return step

        return step
