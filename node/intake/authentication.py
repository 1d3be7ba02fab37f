"""Checks user and password without giving away memory, time or which users exist (operations §5 AUTH, M4).

Dear hashes run in a small pool of threads with a bounded queue; pairs found right are remembered for five minutes under
a keyed hash, pairs found wrong for one. Knows nothing of SMTP: it answers with values, and waits for nobody's delay.
"""

import asyncio
import hashlib
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import msgspec

from node.intake.guard import Guard
from node.policy.clients import fold_user
from node.policy.passwords import PASSWORD_BYTES, StoredPassword, hash_fast, kind_of, verify_password

RIGHT_MS = 5 * 60 * 1000
WRONG_MS = 60 * 1000
REMEMBERED = 10_000
QUEUE = 64
QUEUE_PER_ADDRESS = 16
USER_CHARS = 256


class Authenticated(msgspec.Struct, frozen=True, kw_only=True):
    """The user is who it says; the name as configured."""

    user: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Not signed in. The reply is the same whatever the reason: 535 5.7.8, or 454 4.7.0 when temporary."""

    delay_s: float
    """Wait this long before answering."""
    reason: str
    """``wrong`` or ``busy``; for metrics, never for the client."""
    temporary: bool = False


class Authenticator:
    """Users with their stored passwords, ready to be asked. Call ``close`` at the end."""

    def __init__(
        self,
        users: Mapping[str, Sequence[StoredPassword]],
        *,
        pool_threads: int = 2,
        queue: int = QUEUE,
        queue_per_address: int = QUEUE_PER_ADDRESS,
        guard: Guard | None = None,
        now_ms: Callable[[], int],
    ) -> None:
        """``now_ms``: wall clock. Each thread may take 64 MiB. Raises PasswordHashError for a malformed hash."""
        self.guard = guard or Guard()
        self._now_ms = now_ms
        self._key = os.urandom(32)
        self._pool = ThreadPoolExecutor(pool_threads, thread_name_prefix="password")
        self._queue, self._queue_per_address = queue, queue_per_address
        self._waiting: Counter[str] = Counter()
        self._running: dict[bytes, asyncio.Task[bool]] = {}
        self._known: OrderedDict[bytes, tuple[int, bool]] = OrderedDict()
        self._users: dict[str, tuple[str, tuple[StoredPassword, ...]]] = {}
        self._dummy = ""
        self.replace(users)

    def replace(self, users: Mapping[str, Sequence[StoredPassword]]) -> None:
        """Take over a new table of users, as after a reload; what was remembered is forgotten."""
        for stored in (stored for several in users.values() for stored in several):
            kind_of(stored.hash)
        self._users = {fold_user(user): (user, tuple(several)) for user, several in users.items()}
        slow = [stored.hash for several in users.values() for stored in several if stored.slow]
        self._dummy = _unfitting(slow[0]) if slow else hash_fast(os.urandom(16), os.urandom(16))
        self._known.clear()

    async def verify(self, user: str, password: bytes, peer_ip: str) -> Authenticated | Refused:
        """Check one pair. Never raises for what a client sent; a full queue is a temporary refusal."""
        folded = fold_user(user[:USER_CHARS])
        name, stored = self._users.get(folded, ("", ()))
        if len(user) > USER_CHARS or len(password) > PASSWORD_BYTES:
            stored, password = (), password[:PASSWORD_BYTES]
        usable = tuple(item.hash for item in stored if item.counts(self._today()))
        right = await self._judge(folded, password, usable, peer_ip)
        if right is None:
            return Refused(delay_s=0.0, reason="busy", temporary=True)
        if not right:
            return Refused(delay_s=self.guard.failed(folded, peer_ip, self._now_ms()), reason="wrong")
        self.guard.succeeded(folded, peer_ip)
        return Authenticated(user=name)

    async def _judge(self, user: str, password: bytes, hashes: tuple[str, ...], peer_ip: str) -> bool | None:
        """Give right or wrong from memory, at once, from a check under way, or from a new one; None: too many wait."""
        pair = self._pair(user, password, hashes)
        remembered = self._recall(pair)
        if remembered is not None:
            return remembered
        if any(verify_password(item, password) for item in hashes if item.startswith("$relay-fast$")):
            return self._remember(pair, right=True)
        slow = tuple(item for item in hashes if not item.startswith("$relay-fast$"))
        if not slow and self._dummy.startswith("$relay-fast$"):
            verify_password(self._dummy, password)
            return self._remember(pair, right=False)
        task = self._running.get(pair)
        if task is None:
            if self._waiting.total() >= self._queue or self._waiting[peer_ip] >= self._queue_per_address:
                return None
            task = self._running[pair] = asyncio.create_task(self._check(pair, slow, password))
            self._waiting[peer_ip] += 1
            task.add_done_callback(lambda _: self._checked(pair, peer_ip))
        return await asyncio.shield(task)  # a client that hangs up must not cancel what others wait for

    async def _check(self, pair: bytes, hashes: tuple[str, ...], password: bytes) -> bool:
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(self._pool, _verify_any, hashes, self._dummy, password)
        return self._remember(pair, right=right)

    def _checked(self, pair: bytes, peer_ip: str) -> None:
        self._running.pop(pair, None)
        self._waiting[peer_ip] -= 1
        if not self._waiting[peer_ip]:
            del self._waiting[peer_ip]  # the table stays as small as the queue

    def _pair(self, user: str, password: bytes, hashes: tuple[str, ...]) -> bytes:
        """A key nobody without this process's secret can turn back; the hashes are in it, so rotation forgets."""
        digest = hashlib.blake2b(key=self._key, digest_size=24)
        for part in (user.encode("utf-8", "surrogatepass"), password, *(item.encode() for item in hashes)):
            digest.update(len(part).to_bytes(4, "big") + part)
        return digest.digest()

    def _recall(self, pair: bytes) -> bool | None:
        until_ms, right = self._known.get(pair, (0, False))
        return right if self._now_ms() < until_ms else None

    def _remember(self, pair: bytes, *, right: bool) -> bool:
        self._known.pop(pair, None)
        self._known[pair] = (self._now_ms() + (RIGHT_MS if right else WRONG_MS), right)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return right

    def _today(self) -> date:
        return datetime.fromtimestamp(self._now_ms() / 1000, UTC).date()

    async def close(self) -> None:
        """Let checks under way end and stop the threads."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)


def _unfitting(stored: str) -> str:
    """A hash of the same cost that nothing fits: unknown users are checked against it, so refusing takes as long."""
    head, _, digest = stored.rpartition("$")
    return f"{head}${'A' * len(digest)}"


def _verify_any(hashes: tuple[str, ...], dummy: str, password: bytes) -> bool:
    """Whether any hash fits; without any, one check that cannot succeed is paid for all the same."""
    if not hashes:
        verify_password(dummy, password)
        return False
    return any(verify_password(item, password) for item in hashes)
