"""An access token as the rest of the node sees it: never shown, only used."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """``value`` is a bearer token; it is left out of ``repr`` and so of logs, errors and rich's output."""

    value: str = field(repr=False)
    expires_ms: int
    """Milliseconds since the epoch."""
