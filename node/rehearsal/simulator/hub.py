"""What all conversations of one simulator share: the directory in force, meters, receipts, script, tokens, counts.

Knows no socket. Two clocks: the loop's monotonic one for intervals, the epoch for tokens and receipts.
"""

import math
import random
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.rehearsal.simulator import texts
from node.rehearsal.simulator.chronicle import Chronicle
from node.rehearsal.simulator.counting import NO_LIMITS, ResourceMeter, SourceMeter, unlimited_tenant
from node.rehearsal.simulator.directory import Directory
from node.rehearsal.simulator.entra import ROLE, Entra
from node.rehearsal.simulator.graph.books import Books
from node.rehearsal.simulator.inhabitants import AcsResource, HveAccount, Mailbox, TenantSpec
from node.rehearsal.simulator.meters import AccountMeter, TenantMeter
from node.rehearsal.simulator.receipts import Receipt, Receipts
from node.rehearsal.simulator.script import Script
from node.rehearsal.simulator.tokens import Signer, TokenRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_S = 86_400.0
MAX_SOURCES = 10_000
MAX_METERS = 10_000  # only mailboxes of the directory get one; a replaced directory may add more


class Hub:
    """The simulated service behind its sockets."""

    def __init__(self, directory: Directory, *, receipts: int = 100_000, keep: Path | None = None) -> None:
        """Serve ``directory``; keep ``receipts`` in full and, if asked, every message under ``keep``."""
        self.directory = directory
        self.keep = keep
        self.chronicle = Chronicle()
        self.script = Script()
        self.signer = Signer()
        self.entra = Entra(self.signer)
        self._receipts_kept = receipts
        self._random = random.Random(directory.seed)  # noqa: S311 - delays and lifetimes, no secrets
        self.on_receipt: Callable[[Receipt], None] | None = None
        """Called for each message taken."""
        self.untrusted: frozenset[str] = frozenset()
        """Issuers of client certificates that match no connector, as the TLS layer writes their names."""
        self.accounts: dict[str, AccountMeter] = {}
        self.sources: dict[str, SourceMeter] = {}
        self.connections: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget everything seen; directory, script and keys stay. Open sessions begin anew in the figures."""
        self.receipts = Receipts(self._receipts_kept)
        self.tenants: dict[str, TenantMeter] = {}
        self.accounts = {
            address: meter.renewed(self.tenant_meter(self._tenant_id(address)))
            for address, meter in self.accounts.items()
        }
        self.counts: Counter[str] = Counter()
        self.replies: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()
        self.connections = Counter(open=self.connections["open"], total=self.connections["total"])
        self.tokens: Counter[str] = Counter()
        self.attributions: Counter[str] = Counter()
        """By which right the MX took messages, and what it refused recipients for."""
        self.graph = Books()
        self.onmicrosoft: dict[str, TenantMeter] = {}
        self.resources: dict[str, ResourceMeter] = {}
        connected = {name: source.open for name, source in self.sources.items() if source.open}
        self.sources = {name: SourceMeter(self.directory.mx, connected=open_) for name, open_ in connected.items()}
        self.started_ms = self.now_ms()

    # -- clocks and chance ------------------------------------------------------------------------------------------

    @staticmethod
    def now_s() -> float:
        """Monotonic seconds, for intervals."""
        return time.monotonic()

    @staticmethod
    def now_ms() -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def latency_s(self) -> float:
        """Draw the real time to answer the next final dot."""
        timing = self.directory.timing
        if timing.latency <= 0:
            return 0.0
        drawn = self._random.lognormvariate(math.log(timing.latency), timing.latency_spread)
        return timing.real_s(min(drawn, timing.latency_longest))

    def token_life_s(self) -> int:
        """Draw the lifetime of the next token."""
        shortest, longest = self.directory.timing.token_life
        return int(self._random.uniform(shortest, longest))

    def reply_id(self) -> str:
        """Draw the 16 hex digits of a failure line."""
        return f"{self._random.getrandbits(64):016X}"

    # -- accounts ---------------------------------------------------------------------------------------------------

    def mailbox(self, address: str) -> tuple[TenantSpec, Mailbox] | None:
        """Find a mailbox and its tenant in the directory in force."""
        found = self.directory.tenant_of(address)
        box = found[1].mailboxes.get(address) if found else None
        return (found[1], box) if found and box is not None else None

    def meter(self, address: str) -> AccountMeter:
        """Give the meter of an existing mailbox."""
        meter = self.accounts.get(address)
        if meter is None:
            tenant = self.tenant_meter(self._tenant_id(address))
            meter = self.accounts[address] = AccountMeter(self.directory.limits, tenant)
        return meter

    def hve(self, address: str) -> tuple[TenantSpec, HveAccount] | None:
        """Find an account for High Volume Email and its tenant."""
        found = self.directory.tenant_of(address)
        account = found[1].hve.get(address) if found else None
        return (found[1], account) if found and account is not None else None

    def hve_meter(self, address: str) -> AccountMeter:
        """Give the meter of an account for High Volume Email: it only measures."""
        meter = self.accounts.get(address)
        if meter is None:
            meter = self.accounts[address] = AccountMeter(NO_LIMITS, unlimited_tenant())
        return meter

    def acs(self, user: str) -> tuple[str, TenantSpec, AcsResource] | None:
        """Find the resource an ACS user name means, with its tenant."""
        name, _, rest = user.partition("|")
        tenant_id = rest.partition("|")[2]
        for found, tenant in self.directory.tenants.items():
            for resource, spec in tenant.acs.items():
                if user in spec.users or (resource == name and tenant_id == found and rest):
                    return resource, tenant, spec
        return None

    def acs_app(self, user: str) -> str:
        """Name the application an ACS user name is bound to."""
        found = self.acs(user)
        return "" if found is None else found[2].users.get(user) or user.split("|")[1]

    def acs_meter(self, user: str) -> ResourceMeter:
        """Give the meter of a resource whose user logged in."""
        found = self.acs(user)
        name, spec = (found[0], found[2]) if found else (user, AcsResource(senders=("*",)))
        meter = self.resources.get(name)
        if meter is None:
            meter = self.resources[name] = ResourceMeter(spec)
        return meter

    def source(self, address: str) -> SourceMeter:
        """Give the meter of a client's address at the MX."""
        meter = self.sources.get(address)
        if meter is None:
            if len(self.sources) >= MAX_SOURCES:
                self.sources.pop(next(iter(self.sources)))
            meter = self.sources[address] = SourceMeter(self.directory.mx)
        return meter

    def over_external(self, tenant_id: str, sender: str, external: int) -> str | None:
        """Give the refusal of mail to so many outside, or None; asked last, since what passes is counted."""
        spec = self.directory.tenants.get(tenant_id)
        if not external or spec is None or self.directory.limits.over_external != "refuse":
            return None
        tenant, now_s = self.tenant_meter(tenant_id), self.now_s()
        if not tenant.gate.fits(now_s, external):
            tenant.refused += 1
            return texts.OVER_EXTERNAL_TRIAL if spec.trial else texts.OVER_EXTERNAL
        if sender.lower().endswith(".onmicrosoft.com"):
            rate = spec.onmicrosoft_limit
            fresh = TenantMeter(rate.amount if rate else None, rate.window_s if rate else DAY_S)
            own = self.onmicrosoft.setdefault(tenant_id, fresh)
            if not own.gate.fits(now_s, external):
                own.refused += 1
                return texts.OVER_ONMICROSOFT
            own.gate.take(external)
            own.gate.settle(now_s, external)
        return None

    def _tenant_id(self, address: str) -> str:
        found = self.directory.tenant_of(address)
        return found[0] if found else ""

    def token_left_s(self, token: str) -> float:
        """Give how long a token that was admitted is still valid."""
        return float(self.signer.verify(token)["exp"]) - self.now_ms() / 1000

    def token_admits(self, token: str, address: str, *, apps: tuple[str, ...] | None = None) -> bool:
        """Judge a bearer token for an account; the reason of a refusal goes into the statistics only.

        ``apps``: only these applications may use it.
        """
        try:
            self._check_token(token, address, apps)
        except TokenRefusedError as no:
            self.tokens[f"refused: {no}"] += 1
            return False
        return True

    def _check_token(self, token: str, address: str, apps: tuple[str, ...] | None) -> None:
        claims = self.signer.verify(token)
        found = self.directory.tenant_of(address)
        if found is None:
            raise TokenRefusedError("no such mailbox")
        tenant_id, tenant = found
        if claims.get("aud") != self.directory.audience:
            raise TokenRefusedError("wrong audience")
        if claims.get("tid") != tenant_id:
            raise TokenRefusedError("token of another tenant")
        if float(claims["exp"]) <= self.now_ms() / 1000:
            raise TokenRefusedError("expired")
        if self.entra.issuer.revoked(claims):
            raise TokenRefusedError("revoked")
        app = tenant.apps.get(str(claims.get("appid")))
        if app is None or not (app.scoped or ROLE in claims.get("roles", ())):
            raise TokenRefusedError("application unknown or without permission")
        if apps is not None and claims.get("appid") not in apps:
            raise TokenRefusedError("application not on the account's list")
        if app.mailboxes is not None and address not in (name.lower() for name in app.mailboxes):
            raise TokenRefusedError("application not granted this mailbox")

    def tenant_meter(self, tenant_id: str) -> TenantMeter:
        """Give the meter of a tenant's external mail."""
        meter = self.tenants.get(tenant_id)
        if meter is None:
            tenant = self.directory.tenants.get(tenant_id)
            rate = tenant.external_limit if tenant else None
            meter = TenantMeter(rate.amount if rate else None, rate.window_s if rate else DAY_S)
            self.tenants[tenant_id] = meter
        return meter

    # -- statistics ---------------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Give everything counted since the start or the last reset, as plain data."""
        now_s = self.now_s()
        accounts = {address: meter.report(now_s) for address, meter in self.accounts.items()}
        tenants = {tenant_id: meter.report(now_s) for tenant_id, meter in self.tenants.items()}
        resources = {name: meter.report(now_s) for name, meter in self.resources.items()}
        violations = Counter(self.violations)
        for report in (*accounts.values(), *tenants.values(), *resources.values()):
            violations.update(report["violations"])
        violations.update(self.graph.violations())
        receipts = self.receipts
        return {
            "started_ms": self.started_ms,
            "now_ms": self.now_ms(),
            "messages": {
                "accepted": receipts.accepted,
                "recipients": receipts.recipients,
                "bytes": receipts.size_bytes,
                "duplicates": receipts.duplicate_count,
                "unanswered": sum(receipts.unanswered.values()),
                **self.counts,
            },
            "violations": {**violations, "total": violations.total()},
            "accounts": accounts,
            "tenants": tenants,
            "resources": resources,
            "graph": self.graph.report(),
            "graph_drafts_open": len(self.graph.drafts),
            "sources": {name: dict(source.counts) for name, source in self.sources.items()},
            "attributions": dict(self.attributions),
            "connections": dict(self.connections),
            "replies": dict(self.replies),
            "tokens": dict(self.tokens),
            "duplicates": list(receipts.duplicates),
            "script": self.script.report(),
            "truncated": receipts.truncated,
        }
