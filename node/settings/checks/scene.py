"""What a check may look at: the settings, the machine, and the report it writes to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from node.settings.model import Settings
from node.settings.places import KeyPath, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One configuration under examination; a faulty part may be left out of ``settings``, its name is still known."""

    settings: Settings
    report: Report
    here: bool
    """This machine is to run it: files must be there."""
    now: datetime
    environment: Mapping[str, str]
    node: str
    node_told: bool
    """The node's name was given, not guessed from the host."""
    plans: frozenset[str]
    """Every plan named in the files, usable or not."""
    tenants_complete: bool
    """No tenant was left out for a fault: what belongs to nobody really belongs to nobody."""

    def fault(self, path: KeyPath, text: str) -> None:
        """Note a fault, unless it may only follow from another one inside the same part."""
        if not self.report.damaged(path):
            self.report.fault(path, text)

    def warn(self, path: KeyPath, text: str) -> None:
        """Note something doubtful, on the same condition."""
        if not self.report.damaged(path):
            self.report.warn(path, text)

    def domains(self) -> dict[str, str]:
        """Give every accepted domain with the tenant that owns it (the first one)."""
        owned: dict[str, str] = {}
        for name, tenant in self.settings.tenants.items():
            for domain in tenant.domains:
                owned.setdefault(domain, name)
        return owned

    def unknown_plan(self, path: KeyPath, plan: str) -> None:
        """Note a plan that is named but nowhere described."""
        if plan not in self.plans:
            known = ", ".join(sorted(self.plans)) or "none"
            self.fault(path, f"there is no plan {plan!r}; plans: {known}")

    def need_second_node(self, path: KeyPath, copies: str | None) -> None:
        """Note a wish for a second copy that nobody could keep."""
        nodes = len(self.settings.cluster.nodes) if self.settings.cluster else 1
        if copies == "required" and nodes < 2:  # noqa: PLR2004 - a copy needs a second node
            self.fault(path, "a second copy needs a cluster of at least two nodes; nothing would be taken")
