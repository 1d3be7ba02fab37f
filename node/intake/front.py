"""Chooses how the front door runs: within the core's process, or as several processes that share the ports.

Measured with 4 KiB messages (docs/performance.md): the core's process fills a core with making mail durable, telling
and delivering, so workers get the others. One worker more than that serves smaller groups of clients at a time and
costs a tenth more for each message.
"""

import os
from typing import Final, Protocol

from node.intake.farewell import SETTLE_S
from node.intake.local import LocalDoor
from node.intake.server import IntakeServer
from node.intake.supervisor import Supervisor
from node.policy.rulebook import IntakeRules
from node.settings.model import Settings
from node.settings.rules import intake_rules
from node.telemetry.contract import Telemetry

PROCESSES_MAX: Final = 4
"""More workers than this wait for the core's one writer."""


class Front(Protocol):
    """The front door as the composition root sees it."""

    ports: dict[str, int]

    async def start(self) -> None:
        """Listen. Raises ConfigurationError and ListenError."""
        ...

    def reload(self, settings: Settings) -> list[str]:
        """Put new settings in force; what needs a restart is returned. Raises ConfigurationError, changing nothing."""
        ...

    async def hold(self, addresses: frozenset[str], bound_s: float, settle_s: float = SETTLE_S) -> None:
        """Keep newcomers waiting; see sessions out that came by these addresses of ours."""
        ...

    async def see_out(self, addresses: frozenset[str], bound_s: float) -> None:
        """See sessions out that are here by these addresses now; newcomers are let in."""
        ...

    def welcome(self) -> None:
        """Let newcomers in again."""
        ...

    async def drain(self, bound_s: float) -> int:
        """Let in who is queued, stop listening, see sessions out; sessions cut off."""
        ...

    def hurry(self) -> None:
        """Let a drain that is under way wait for nobody who may be told to come back."""
        ...

    async def close(self) -> None:
        """Stop at once."""
        ...


class _OneProcess(IntakeServer):
    """The intake server within the core: makes its rules itself."""

    def __init__(self, settings: Settings, door: LocalDoor, telemetry: Telemetry, hostname: str) -> None:
        super().__init__(settings, intake_rules(settings, hostname), door, telemetry)
        self._hostname = hostname

    def reload(self, settings: Settings, rules: IntakeRules | None = None) -> list[str]:
        """Take over settings, with the rules made from them."""
        return super().reload(settings, rules or intake_rules(settings, self._hostname))


def workers_of(settings: Settings) -> int:
    """How many processes besides the core's take mail in; 0: the core's own does.

    As configured (1 means the core's), else one per core that this process may use, at most four: with fewer a message
    costs less, but more wait for each other (docs/performance.md).
    """
    configured = settings.intake.processes
    if configured:
        return configured if configured > 1 else 0
    cores = len(os.sched_getaffinity(0))
    return min(cores, PROCESSES_MAX) if cores > 1 else 0


def make_front(settings: Settings, door: LocalDoor, telemetry: Telemetry, *, hostname: str) -> Front:
    """Make the front door; ``hostname`` is the host's own, used where the settings name none.

    Raises ConfigurationError when the settings give no usable rules.
    """
    workers = workers_of(settings)
    if not workers:
        return _OneProcess(settings, door, telemetry, hostname)
    intake_rules(settings, hostname)  # told now, rather than by every worker
    return Supervisor(settings, door, telemetry, hostname=hostname, processes=workers)
