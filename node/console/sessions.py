"""Who is signed in: a bounded number of sessions with a bounded life, in memory only. Pure but for its randomness.

A session stands for a token by the token's hash: it ends when the token does, and is worth nothing after a restart.
"""

import hmac
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

SESSIONS_MAX: Final = 500
"""Of one node; the one unused for longest goes first."""
EACH_MAX: Final = 20
"""Of one token."""
IDLE_MS: Final = 30 * 60_000
"""A session that was not used for this long is over. A page that refreshes itself uses it."""
LIFE_MS: Final = 8 * 3_600_000
"""A session is over after this in any case."""
NOTICES_MAX: Final = 5
NOTICE_CHARS_MAX: Final = 1_000
_RANDOM_BYTES: Final = 32


class Session(msgspec.Struct, kw_only=True):
    """One browser that showed a token."""

    digest: str
    """Of the token (SHA-256, hex)."""
    csrf: str
    """What each of its forms must send back."""
    began_ms: int
    used_ms: int
    notices: list[tuple[str, str]] = []
    """Kind (``good``, ``bad``) and text, for the next page shown."""

    def tell(self, kind: str, text: str) -> None:
        """Keep a notice for the next page."""
        self.notices = [*self.notices, (kind, text[:NOTICE_CHARS_MAX])][-NOTICES_MAX:]

    def told(self) -> list[tuple[str, str]]:
        """Give the notices, once."""
        found, self.notices = self.notices, []
        return found

    def meant(self, csrf: str) -> bool:
        """Tell whether a form was made for this session."""
        return hmac.compare_digest(csrf.encode(errors="replace"), self.csrf.encode())


class Sessions:
    """All of them, by the cookie's value."""

    def __init__(self, random: Callable[[int], str] = secrets.token_urlsafe) -> None:
        """Nobody is signed in."""
        self._random = random
        self._open: dict[str, Session] = {}

    def __len__(self) -> int:
        """How many there are, those that are over but not yet seen to be included."""
        return len(self._open)

    def begin(self, digest: str, now_ms: int) -> tuple[str, Session]:
        """Begin one, and give the cookie's value with it; the oldest go where there are too many."""
        for key in [key for key, one in self._open.items() if _over(one, now_ms)]:
            del self._open[key]
        self._leave(EACH_MAX - 1, [key for key, one in self._open.items() if one.digest == digest])
        self._leave(SESSIONS_MAX - 1, list(self._open))
        key, csrf = self._random(_RANDOM_BYTES), self._random(_RANDOM_BYTES)
        self._open[key] = Session(digest=digest, csrf=csrf, began_ms=now_ms, used_ms=now_ms)
        return key, self._open[key]

    def find(self, key: str, now_ms: int) -> Session | None:
        """Give the session of a cookie, which counts as its use; None: there is none, or it is over."""
        found = self._open.get(key)
        if found is None:
            return None
        if _over(found, now_ms):
            del self._open[key]
            return None
        found.used_ms = now_ms
        return found

    def end(self, key: str) -> None:
        """End one; nothing happens if there is none."""
        self._open.pop(key, None)

    def _leave(self, most: int, keys: list[str]) -> None:
        keys.sort(key=lambda key: self._open[key].used_ms)
        for key in keys[: max(0, len(keys) - most)]:
            del self._open[key]


def _over(session: Session, now_ms: int) -> bool:
    return now_ms - session.used_ms >= IDLE_MS or now_ms - session.began_ms >= LIFE_MS
