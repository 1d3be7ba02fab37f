"""What is known of one tenant's token, while it is held, asked for or refused. Decides nothing: tokens.py does."""

import asyncio

import msgspec

from node.m365.app import TenantApp
from node.m365.errors import AlertReason, TokenRefused, TokenUnavailable
from node.m365.token import AccessToken


class TokenState(msgspec.Struct, frozen=True, kw_only=True):
    """For status, metrics and alerts: what one tenant holds and what last went wrong."""

    tenant: str
    expires_ms: int
    """0 if it holds none."""
    reason: AlertReason | None
    """Why the last request failed; None after a success."""
    text: str
    permanent: bool
    retry_ms: int
    proof: str = ""
    """What the last token was had with: ``secret``, ``next_secret`` ...; empty before the first."""
    refused: tuple[str, ...] = ()
    """Proofs that Entra refuses while another is taken: replace them."""


class Flow:
    """One tenant's token, request under way and last failure."""

    __slots__ = (
        "app",
        "error",
        "failures",
        "looked_ms",
        "not_before_ms",
        "proof",
        "refused",
        "renew_ms",
        "stale",
        "stamp",
        "task",
        "token",
    )

    def __init__(self, app: TenantApp) -> None:
        self.app = app
        self.token: AccessToken | None = None
        self.renew_ms = 0
        self.not_before_ms = 0
        self.stale = False
        self.proof = ""
        self.refused: tuple[str, ...] = ()
        self.failures = 0
        self.error: TokenUnavailable | TokenRefused | None = None
        self.stamp: tuple[tuple[int, int, int], ...] = ()
        self.looked_ms = 0
        self.task: asyncio.Task[AccessToken | None] | None = None

    def valid(self, now_ms: int) -> AccessToken | None:
        """What may be handed out in need."""
        return self.token if self.token is not None and self.token.expires_ms > now_ms else None

    def state(self, tenant: str) -> TokenState:
        """Show it."""
        error = self.error
        return TokenState(
            tenant=tenant,
            expires_ms=self.token.expires_ms if self.token is not None else 0,
            reason=error.reason if error is not None else None,
            text=str(error) if error is not None else "",
            permanent=isinstance(error, TokenRefused),
            retry_ms=self.not_before_ms if error is not None else 0,
            proof=self.proof,
            refused=self.refused,
        )
