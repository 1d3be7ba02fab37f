"""The other side of a limit: counts units at a moment of its choice, and connections until it believes them gone."""

LIMIT, WINDOW_S, SETTLE_S, LINGER_S = 12, 10.0, 6.0, 15.0
WINDOW_MS = int(WINDOW_S * 1_001)  # the host's clock may run 500 ppm fast, and so may the upstream's
SETTLE_MS, LINGER_MS = int(SETTLE_S * 1_001), int(LINGER_S * 1_001)
SESSIONS = 3


class Upstream:
    """One account as its provider sees it."""

    def __init__(self, world, *, day_limit: int, day_s: float) -> None:
        self.world, self.day_limit, self.day_s = world, day_limit, day_s
        self.counted: list[float] = []
        self.connections: dict[str, float] = {}

    def unit(self, begun: float, seconds: float) -> None:
        """Count a unit at its begin, at its end, or anywhere between."""
        self.counted.append(begun + self.world.random.choice((0.0, seconds, self.world.random.uniform(0, seconds))))

    def worst_window(self, window_s: float = WINDOW_S) -> int:
        times = sorted(self.counted)
        worst, first = 0, 0
        for last, time in enumerate(times):
            while time - times[first] >= window_s:
                first += 1
            worst = max(worst, last - first + 1)
        return worst

    def open(self, name: str) -> None:
        self.connections[name] = float("inf")
        self.world.changed = True

    def close(self, name: str, *, vanished: bool) -> None:
        self.connections[name] = self.world.now + (LINGER_S if vanished else 0.0)

    def open_connections(self) -> int:
        """How many it counts now; forgets those that are over."""
        now = self.world.now
        if len(self.connections) > 50:
            self.connections = {name: until for name, until in self.connections.items() if until > now}
        return sum(1 for until in self.connections.values() if until > now)
