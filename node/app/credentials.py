"""When what the relay signs in with ends: gauges, a warning in time, and the lines of ``relayctl status``.

A client secret does not tell its end: its last day stands in the settings. Certificates tell theirs. Passwords end
with Basic authentication: at the end of December 2026 it is off by default (facts m365 §3.1).
"""

import datetime as dt
import logging
from typing import TYPE_CHECKING, Final

from node.delivery.clock import wall_ms
from node.m365.tokens import TokenState
from node.policy.endings import DAY_MS, Ending, Told, end_of_ms, said, threshold
from node.settings.model import Settings
from node.tls.expiry import expiries

if TYPE_CHECKING:
    from node.app.node import Node

BASIC_ENDS: Final = dt.date(2026, 12, 31)
"""Last day on which a tenant takes passwords without having switched them on again."""
_log = logging.getLogger(__name__)


class Credentials:
    """Watches them for one node."""

    def __init__(self, node: "Node") -> None:
        """Keep the node."""
        self._node = node
        self._told = Told()
        self._endings: list[Ending] = []
        """As last read."""

    def look(self) -> None:
        """Set the gauges, and tell what ends soon; reads files."""
        node, now_ms = self._node, wall_ms()
        certificates = expiries(node.settings)
        for name, end_ms in certificates.items():
            node.telemetry.gauge("relay_certificate_expiry_seconds", (end_ms - now_ms) / 1000, certificate=name)
        endings = self._endings = endings_of(node.settings, certificates)
        for ending in endings:
            left_s = (ending.ends_ms - now_ms) / 1000
            node.telemetry.gauge("relay_credential_expiry_seconds", left_s, credential=ending.credential)
        for ending in self._told.due(endings, now_ms):
            soon = ending.ends_ms - now_ms <= DAY_MS
            _log.log(logging.ERROR if soon else logging.WARNING, "%s", said(ending, now_ms))

    def token_told(self, state: TokenState) -> None:
        """Say loudly when a tenant gets no tokens, and when it gets them again."""
        if state.reason is None:
            level = logging.WARNING if state.refused else logging.INFO
            others = f"; refused and to be replaced: {', '.join(state.refused)}" if state.refused else ""
            _log.log(level, "tenant %s has a token, by %s%s", state.tenant, state.proof, others)
            return
        self._node.telemetry.count("relay_token_failures", tenant=state.tenant, reason=state.reason.value)
        level = logging.ERROR if state.permanent else logging.WARNING
        detail = {"tenant": state.tenant, "reason": state.reason.value, "permanent": state.permanent}
        _log.log(level, "no token for tenant %s: %s", state.tenant, state.text, extra=detail)

    def troubles(self) -> list[str]:
        """Say what ends soon, and what Entra refuses; reads files."""
        return self._troubles(endings_of(self._node.settings, expiries(self._node.settings)))

    def known_troubles(self) -> list[str]:
        """Say the same of the files as last read."""
        return self._troubles(self._endings)

    def _troubles(self, endings: list[Ending]) -> list[str]:
        now_ms = wall_ms()
        lines = [said(one, now_ms) for one in endings if threshold(one.ends_ms, now_ms) is not None]
        for token in self._node.tokens.states():
            if token.reason is not None:
                lines.append(f"no new token for {token.tenant}: {token.text}")
            elif token.refused:
                lines.append(f"Entra refuses {', '.join(token.refused)} of {token.tenant}, and takes {token.proof}")
        return lines


def endings_of(settings: Settings, certificates: dict[str, int]) -> list[Ending]:
    """Give the ends that are known; ``certificates``: of those with a file, by place, in epoch milliseconds."""
    found = []
    for name, tenant in settings.tenants.items():
        app = tenant.app
        for key, day in (("secret", app.secret_until), ("next_secret", app.next_secret_until)) if app else ():
            if day is not None:
                place = f"tenants.{name}.app.{key}"
                found.append(Ending(credential=place, ends_ms=end_of_ms(day), what="the client secret"))
        for mailbox, account in tenant.service_accounts.items():
            if account.password is not None:
                place = f"tenants.{name}.service_accounts.{mailbox}.password"
                found.append(Ending(credential=place, ends_ms=end_of_ms(BASIC_ENDS), what="Basic authentication"))
    found += [
        Ending(credential=place, ends_ms=end_ms, what="the certificate")
        for place, end_ms in certificates.items()
        if place.startswith("tenants.")
    ]
    return found
