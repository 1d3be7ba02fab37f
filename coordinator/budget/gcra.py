"""Arrival rates by the generic cell rate algorithm (ITU-T I.371), exact in integers.

For rates we grant to others: ``amount`` per window on average, ``burst`` at once, so at most ``amount + burst`` in
any one window. Never for limits others set us: spacing starts lets 32 of 30 through (see permits).
An arrival is *reserved* first and counted when it is taken in, so one that is given up costs nothing and an old one
gives no credit back (operations A8).

Pure: handed ``now_ms``. One unit of the theoretical arrival time is ``1 / amount`` ms, so nothing is ever rounded.
"""


class Gcra:
    """Two integers of state."""

    __slots__ = ("_arrival", "amount", "burst", "reserved", "window_ms")

    def __init__(self, *, amount: int, window_ms: int, burst: int | None = None) -> None:
        """``burst`` defaults to ``amount``: a whole window's worth may come at once."""
        self.reserved = 0
        self._arrival = 0
        self.amount = 1
        self.resize(amount, window_ms, burst)

    def resize(self, amount: int, window_ms: int, burst: int | None = None) -> None:
        """Change the rate; what has been counted stays counted."""
        burst = amount if burst is None else burst
        if amount < 1 or window_ms < 1 or burst < 1:
            raise ValueError(f"impossible rate: {amount=} {window_ms=} {burst=}")
        self._arrival = -(-self._arrival * amount // self.amount)
        self.amount, self.window_ms, self.burst = amount, window_ms, burst

    def reshape(self, amount: int, now_ms: int) -> None:
        """Change rate and burst to ``amount``, keeping the *units* counted: for parts of a rate moved between holders.

        All parts together then let through what the whole would: each unit drains somewhere, none is forgotten.
        """
        if amount < 1:
            raise ValueError(f"impossible rate: {amount=}")
        counted = max(0, self._arrival - now_ms * self.amount)
        self._arrival = now_ms * amount + counted
        self.amount = self.burst = amount

    def reserve(self, now_ms: int) -> bool:
        """Reserve one arrival, or say that it comes too early."""
        if self.next_ms(now_ms) > now_ms:
            return False
        self.reserved += 1
        return True

    def count(self, now_ms: int) -> None:
        """A reserved arrival was taken in."""
        self.release()
        self._arrival = max(self._arrival, now_ms * self.amount) + self.window_ms

    def release(self) -> None:
        """A reserved arrival was given up."""
        if self.reserved <= 0:
            raise ValueError("no arrival is reserved")
        self.reserved -= 1

    def next_ms(self, now_ms: int) -> int:
        """Earliest time one more fits; ``now_ms`` if it does. With a burst all reserved: one interval from now."""
        if self.reserved >= self.burst:
            return now_ms + -(-self.window_ms // self.amount)
        over = max(self._arrival, now_ms * self.amount) + (self.reserved + 1 - self.burst) * self.window_ms
        return max(now_ms, -(-over // self.amount))

    def level(self, now_ms: int) -> int:
        """How much of the burst is used up, reserved ones included, rounded up."""
        return max(0, -(-(self._arrival - now_ms * self.amount) // self.window_ms)) + self.reserved
