"""What goes wrong, and what is asked of it: one row for each case."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.failover.etcd import ELECTION_MS
from tests.failover.rig import Rig

FREEZE_S: Final = 60.0
CUT_S: Final = 25.0
ELECTION_S: Final = 3 * ELECTION_MS / 1_000
"""etcd's members elect within two election timeouts, and the new leader lengthens every lease by one."""
RESTART_S: Final = 0.2
"""What systemd waits before it starts a unit again (RestartSec)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault."""

    name: str
    title: str
    act: Callable[[Rig], None]
    watch_s: float
    """How long client and kernels are watched after the act."""
    leader: str = "elsewhere"
    """Where etcd's leader is: on another host than the address, or on the holder."""
    only: str | None = None
    """The subject it makes sense for."""
    goal_s: float | None = None
    """Longest gap asked for (design §10); None: nothing is asked."""
    after_lease: bool = False
    """The goal counts from the end of the lease: ttl + goal."""
    early: bool = False
    """The goal holds where addresses may be taken early; else it is ttl + 1 s."""
    election_s: float = 0.0
    """What etcd's own election adds to a lease that has to end (coordination-review §1, peers §4.10)."""


def _nothing(rig: Rig) -> None:
    rig.fault()


def _service_killed(rig: Rig) -> None:
    rig.fault()
    rig.subject.kill_service(rig.holder)


def _keeper_killed(rig: Rig) -> None:
    rig.fault()
    rig.subject.kill_keeper(rig.holder)


def _keeper_restarted(rig: Rig) -> None:
    rig.fault()
    rig.subject.kill_keeper(rig.holder)
    rig.wait(RESTART_S)
    rig.subject.start_keeper(rig.holder)


def _frozen(rig: Rig) -> None:
    rig.fault()
    rig.subject.freeze(rig.holder)
    rig.wait(FREEZE_S)
    rig.subject.thaw(rig.holder)


def _link_down(rig: Rig) -> None:
    rig.fault()
    rig.lan.link(rig.holder, up=False)


def _cut_off(rig: Rig) -> None:
    rig.fault()
    rig.lan.cut(rig.holder, off=True)
    rig.wait(CUT_S)
    rig.lan.cut(rig.holder, off=False)


def _host_gone(rig: Rig) -> None:
    rig.fault()
    rig.lose_host()


def _moved(rig: Rig) -> None:
    rig.fault()
    rig.subject.move(rig.holder, rig.other)


def _lowered(rig: Rig) -> None:
    rig.fault()
    rig.subject.lower(rig.holder, rig.other)


def _etcd_rolled(rig: Rig) -> None:
    rig.fault()
    rig.subject.roll_etcd()


CASES: Final = (
    Case(name="nothing", title="nothing happens (floor of the harness)", act=_nothing, watch_s=10),
    Case(name="service-killed", title="node process killed", act=_service_killed, watch_s=12, goal_s=0.5),
    Case(
        name="keeper-restarted", title="coordinator killed, started again after 0.2 s", act=_keeper_restarted,
        watch_s=15, goal_s=1.0,
    ),
    Case(
        name="keeper-killed", title="coordinator killed, not started again", act=_keeper_killed, watch_s=20,
        goal_s=1.0, after_lease=True,
    ),
    Case(name="frozen", title="both frozen for 60 s", act=_frozen, watch_s=15, goal_s=1.0, after_lease=True),
    Case(name="link-down", title="host's link goes, carrier too", act=_link_down, watch_s=20, goal_s=2.0, early=True),
    Case(name="cut-off", title="host cut off 25 s, carrier stays", act=_cut_off, watch_s=10, goal_s=2.0, early=True),
    Case(name="host-gone", title="host gone with all it ran", act=_host_gone, watch_s=20, goal_s=2.0, early=True),
    Case(
        name="leader-gone", title="host gone, etcd's leader with it", act=_host_gone, watch_s=25, leader="holder",
        only="relay", goal_s=2.0, early=True, election_s=ELECTION_S,
    ),
    Case(name="moved", title="planned move", act=_moved, watch_s=6, goal_s=0.1),
    Case(name="lowered", title="planned move by priority", act=_lowered, watch_s=6, only="keepalived"),
    Case(name="etcd-rolled", title="rolling restart of etcd", act=_etcd_rolled, watch_s=10, only="relay", goal_s=0.1),
)  # fmt: skip
