"""Tokens for mailboxes: one per tenant and app serves every mailbox; fetched once for all who wait, renewed early.

Renewed at half life in the background and, with less than ``FLOOR_MS`` left, before it is handed out. If that
fails, what is still valid is served to its end: an outage of Entra stops nobody who holds a token. Failures back off
with jitter; permanent ones are looked at again every ``PARK_MS``, or at once when the credential's file changes.
No network and no azure here: see entra.py.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from node.m365.app import Credential, TenantApp, credential_stamp, read_credential
from node.m365.errors import AlertReason, CredentialUnusable, TokenRefused, TokenUnavailable, UnknownTenant
from node.m365.flow import Flow, TokenState
from node.m365.token import AccessToken

__all__ = ("FLOOR_MS", "Fetcher", "TokenSource", "TokenState")

FLOOR_MS = 600_000
"""HVE refuses tokens with less than 10 min left (facts/m365.md §3.3)."""
GAP_MS = 60_000
"""At most one successful request in this time, however short-lived tokens are or how often one is called stale."""
BACKOFF_MS = 1_000
BACKOFF_MAX_MS = 300_000
PARK_MS = 600_000
"""Between looks at a permanent refusal: six requests an hour are no loop, and somebody may have mended it in Entra."""
STAMP_MS = 2_000
"""How often a parked credential's file is looked at."""
ABOUT_THE_PROOF = frozenset(
    {
        AlertReason.SECRET_WRONG,
        AlertReason.SECRET_EXPIRED,
        AlertReason.CERTIFICATE_REFUSED,
        AlertReason.CREDENTIAL_UNUSABLE,
        AlertReason.REFUSED,
    }
)
"""Refusals of a secret or certificate: the app's second one, if it has one, may be taken."""
DOUBLINGS_MAX = 30
"""More change nothing and only make large numbers."""


class Fetcher(Protocol):
    """Asks once for a token, as Entra does."""

    async def fetch(self, app: TenantApp, credential: Credential) -> AccessToken:
        """Raise TokenUnavailable or TokenRefused if there is none."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class TokenSource:
    """Belongs to one event loop. ``close`` it in that loop."""

    def __init__(
        self,
        apps: Mapping[str, TenantApp],
        fetcher: Fetcher,
        *,
        now_ms: Callable[[], int] = _wall_ms,
        jitter: Callable[[], float] = random.random,
        on_change: Callable[[TokenState], None] | None = None,
    ) -> None:
        """``apps`` by tenant name; ``jitter`` gives numbers in [0, 1); ``on_change`` hears failures and recoveries."""
        self._flows = {tenant: Flow(app) for tenant, app in apps.items()}
        self._fetcher = fetcher
        self._now_ms = now_ms
        self._jitter = jitter
        self._on_change = on_change
        self._tasks: set[asyncio.Task[AccessToken | None]] = set()

    async def token(self, tenant: str) -> AccessToken:
        """Give a token with at least 10 min left where Entra allows, else one still valid.

        Raises TokenUnavailable or TokenRefused (both with ``retry_ms``) only if no valid one is held.
        """
        flow = self._flows.get(tenant)
        if flow is None:
            raise UnknownTenant(tenant)
        now_ms = self._now_ms()
        held = flow.valid(now_ms)
        if held is not None and now_ms < flow.renew_ms and not flow.stale:
            return held
        if flow.task is None and self._may_ask(flow, now_ms):
            flow.task = self._start(tenant, flow)
        comfortable = held is not None and held.expires_ms - now_ms > FLOOR_MS and not flow.stale
        if held is not None and (flow.task is None or comfortable):
            return held
        if flow.task is not None:
            return await self._wait(flow, flow.task)
        raise self._again(flow)

    def invalidate(self, tenant: str, token: AccessToken | None = None) -> bool:
        """Call after 535 5.7.3 (facts/m365.md §3.2): the next ``token`` asks Entra first.

        True if it will. False if *token* is no longer the one held, or was fetched less than a minute ago: then a
        new one would not help. The held one stays as a fallback, should Entra be down.
        """
        flow = self._flows.get(tenant)
        if flow is None or flow.token is None or (token is not None and token is not flow.token):
            return False
        flow.stale = flow.stale or self._now_ms() >= flow.not_before_ms
        return flow.stale

    def ask_again(self) -> None:
        """Forget the waits after failures: an operator says that something was mended."""
        for flow in self._flows.values():
            if flow.error is not None:
                flow.not_before_ms = 0

    def look(self) -> None:
        """Notice changed files: ask with them at once, so that a bad one shows while the old token still lives.

        For a timer; tokens nobody has asked for are left alone.
        """
        for tenant, flow in self._flows.items():
            if flow.task is None and (flow.token or flow.error) and credential_stamp(flow.app) != flow.stamp:
                flow.proof = ""
                flow.task = self._start(tenant, flow)

    def states(self) -> list[TokenState]:
        """Every tenant's state; cheap enough for every scrape."""
        return [flow.state(tenant) for tenant, flow in self._flows.items()]

    def reload(self, apps: Mapping[str, TenantApp]) -> None:
        """Put changed apps in force; a tenant whose app did not change keeps its token. Requests under way go on."""
        before, self._flows = self._flows, {}
        for tenant, app in apps.items():
            known = before.get(tenant)
            self._flows[tenant] = known if known is not None and known.app == app else Flow(app)

    async def close(self) -> None:
        """Stop requests under way and close connections; idempotent."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._fetcher.close()

    def _start(self, tenant: str, flow: Flow) -> "asyncio.Task[AccessToken | None]":
        task = asyncio.create_task(self._renew(tenant, flow), name=f"token {tenant}")
        # The loop keeps weak references only, and a reload may drop the flow while its task runs to its end.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _may_ask(self, flow: Flow, now_ms: int) -> bool:
        if now_ms >= flow.not_before_ms:
            return True
        if not isinstance(flow.error, TokenRefused) or now_ms < flow.looked_ms + STAMP_MS:
            return False
        flow.looked_ms = now_ms
        return credential_stamp(flow.app) != flow.stamp

    async def _renew(self, tenant: str, flow: Flow) -> AccessToken | None:
        """Ask once and note the outcome; None after a failure, which ``flow.error`` then names."""
        try:
            # Before reading: a change between the two is then seen as a change.
            flow.stamp = credential_stamp(flow.app)
            refused = flow.refused
            token = await self._fetched(flow)
            self._check_alive(token)
        except (TokenUnavailable, TokenRefused) as error:
            self._failed(tenant, flow, error)
            return None
        finally:
            flow.task = None
        self._succeeded(tenant, flow, token, news=flow.refused != refused)
        return token

    async def _fetched(self, flow: Flow) -> AccessToken:
        """Ask with the proof that worked last, then with the others as long as it is the proof that is refused."""
        refused: dict[str, TokenRefused] = {}
        for proof in sorted(flow.app.proofs or ("",), key=lambda proof: proof != flow.proof):
            try:
                credential = await asyncio.to_thread(read_credential, flow.app, proof)
                token = await self._fetcher.fetch(flow.app, credential)
            except TokenRefused as error:
                if error.reason not in ABOUT_THE_PROOF:
                    raise
                refused[proof] = error
            else:
                flow.proof = proof
                flow.refused = tuple(sorted({*flow.refused, *refused} - {proof}))
                return token
        flow.refused = ()
        raise next(iter(refused.values()), CredentialUnusable("the app has nothing to prove itself with"))

    def _check_alive(self, token: AccessToken) -> None:
        if token.expires_ms <= self._now_ms():
            raise TokenUnavailable(AlertReason.UNREADABLE, "Entra's token has expired already: check the clock")

    def _failed(self, tenant: str, flow: Flow, error: TokenUnavailable | TokenRefused) -> None:
        now_ms = self._now_ms()
        flow.failures += 1
        if isinstance(error, TokenRefused):
            wait_ms = PARK_MS
        else:
            wait_ms = min(BACKOFF_MAX_MS, BACKOFF_MS << min(flow.failures - 1, DOUBLINGS_MAX))
        asked_ms = int(error.retry_after_s * 1000) if isinstance(error, TokenUnavailable) else 0
        # Half fixed, half by chance: nodes that failed together do not come back together.
        flow.not_before_ms = now_ms + max(asked_ms, int(wait_ms * (0.5 + self._jitter() / 2)))
        error.retry_ms = flow.not_before_ms
        flow.error = error
        self._tell(tenant, flow)

    def _succeeded(self, tenant: str, flow: Flow, token: AccessToken, *, news: bool) -> None:
        now_ms = self._now_ms()
        life_ms = token.expires_ms - now_ms
        # Short lives would otherwise be below the floor from the start, and asked for at every message.
        flow.not_before_ms = now_ms + min(GAP_MS, life_ms // 2)
        flow.renew_ms = max(flow.not_before_ms, min(now_ms + life_ms // 2, token.expires_ms - FLOOR_MS))
        news = news or flow.error is not None
        flow.token, flow.error, flow.failures, flow.stale = token, None, 0, False
        if news:
            self._tell(tenant, flow)

    async def _wait(self, flow: Flow, task: "asyncio.Task[AccessToken | None]") -> AccessToken:
        try:
            # Shielded: one waiter's cancellation must not take the token from the others.
            token = await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled() or self._cancelled_itself():
                raise
            raise TokenUnavailable(AlertReason.UNREACHABLE, "stopped while asking Entra") from None
        token = token or flow.valid(self._now_ms())
        if token is None:
            raise self._again(flow)
        return token

    @staticmethod
    def _cancelled_itself() -> bool:
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    def _again(self, flow: Flow) -> TokenUnavailable | TokenRefused:
        """The failure that keeps the tenant without a token, for one more caller."""
        if flow.error is not None:
            return flow.error.with_traceback(None)
        error = TokenUnavailable(AlertReason.UNREADABLE, "Entra's tokens live too short to be used")
        error.retry_ms = flow.not_before_ms
        return error

    def _tell(self, tenant: str, flow: Flow) -> None:
        if self._on_change is not None:
            self._on_change(flow.state(tenant))
