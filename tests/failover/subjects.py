"""What is measured: keepalived in its ways, the relay with its presets; and which cases each takes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.failover.cases import Case
from tests.failover.keepalived import Keepalived
from tests.failover.lan import Lan
from tests.failover.relay import Relay
from tests.failover.rig import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way of moving an address."""

    name: str
    title: str
    kind: str
    make: Callable[[Path, Lan], Subject]
    ttl_s: float = 0.0
    """Lease of the preset."""
    early: bool = True
    """Addresses may be taken before the lease ends."""
    cases: tuple[str, ...] | None = None
    """Only these cases; None: every case of its kind."""

    def takes(self, case: Case) -> bool:
        """Say whether a case is measured with it."""
        return (case.only in (None, self.kind)) and (self.cases is None or case.name in self.cases)


def _keepalived(advert_s: float, *, track: bool) -> Callable[[Path, Lan], Subject]:
    return partial(Keepalived, advert_s=advert_s, track=track)


def _relay(timing: str, *, early: bool = True) -> Callable[[Path, Lan], Subject]:
    return partial(Relay, timing=timing, early=early)


SUBJECTS: Final = (
    Variant(name="relay-steady", title="relay, `steady` (ttl 10 s)", kind="relay", ttl_s=10, make=_relay("steady")),
    Variant(name="relay-fast", title="relay, `fast` (ttl 5 s)", kind="relay", ttl_s=5, make=_relay("fast")),
    Variant(name="relay-fast-late", title="relay, `fast`, `early_takeover: false`", kind="relay", ttl_s=5, early=False,
            make=_relay("fast", early=False), cases=("keeper-restarted", "keeper-killed", "host-gone", "leader-gone")),
    Variant(name="keepalived-1s", title="keepalived, 1 s adverts", kind="keepalived",
            make=_keepalived(1.0, track=False)),
    Variant(name="keepalived-100ms", title="keepalived, 0.1 s adverts", kind="keepalived",
            make=_keepalived(0.1, track=False)),
    Variant(name="keepalived-1s-script", title="keepalived, 1 s adverts, script", kind="keepalived",
            make=_keepalived(1.0, track=True), cases=("service-killed", "moved")),
    Variant(name="keepalived-100ms-script", title="keepalived, 0.1 s adverts, script", kind="keepalived",
            make=_keepalived(0.1, track=True), cases=("service-killed", "moved")),
)  # fmt: skip
