"""What a drill found, as values: one step for each fault, and the whole. Nothing is decided here."""

import msgspec

from node.rehearsal.checking.verdict import Verdict


class Step(msgspec.Struct, kw_only=True):
    """One fault: announced, done, waited for, judged."""

    kind: str
    node: str
    does: str
    holds: str
    began_ms: float = 0.0
    ended_ms: float = 0.0
    whole_ms: float = 0.0
    """When the cluster was whole again: all ready, one holder, all mail on two machines; 0: it never was."""
    acceptance_gap_s: float = 0.0
    """Longest pause between two 250s while the fault and its aftermath lasted."""
    delivery_gap_s: float = 0.0
    takeover_s: float | None = None
    """Until clients were led to another node; None where none was needed or came."""
    protected_s: float | None = None
    """From its beginning until the cluster was whole again."""
    lost: int = 0
    duplicated: int = 0
    overshoot: int = 0
    problems: list[str] = msgspec.field(default_factory=list)


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that could not be done, and why."""

    kind: str
    why: str


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Who held the address."""

    holder: str
    from_ms: float
    to_ms: float


class Outcome(msgspec.Struct, kw_only=True):
    """The whole drill."""

    cluster: str
    machine: str
    began_ms: float
    ended_ms: float
    steps: list[Step]
    skipped: list[Skipped]
    stopped: str
    """Why it ended early; empty: it did not."""
    verdict: Verdict | None
    accepted_per_s: list[int]
    delivered_per_s: list[int]
    holders: list[Span]

    @property
    def holds(self) -> bool:
        """Whether every invariant held, and the cluster was whole after each fault."""
        clean = not any(step.problems for step in self.steps)
        return clean and not self.stopped and self.verdict is not None and self.verdict.holds
