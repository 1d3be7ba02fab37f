"""Connections to etcd's members over gRPC: the only file that knows grpc, and the one that maps its errors to ours.

One channel per endpoint, each checking the certificate against that endpoint's own name. Which member is asked next,
how long, and whether a call may be repeated is decided by the callers' ``repeat`` flag: reads and renewals may go on to
another member within the time given. A transaction goes on only when it certainly never left this process (no
connection) or was refused for a stale token before it was looked at.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
from aetcd.rpc import rpc_pb2, rpc_pb2_grpc

from coordinator.store.contract import (
    Compacted,
    Indefinite,
    LeaseLost,
    NoSpace,
    Refused,
    StoreError,
    Unauthenticated,
    Unreachable,
    WrongCluster,
)

KEEPALIVE_MS: Final = 6_000
"""Members end a connection that is pinged more often than every 5 s, by their default."""
OPTIONS: Final = (
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 0),  # members end a connection that is pinged while nothing is asked
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),  # a transparent repeat of a transaction is exactly what must not happen
    ("grpc.use_local_subchannel_pool", 1),
)
TRY_MIN_S: Final = 0.2
RETIRE_S: Final = 10.0
"""No call lasts so long; a watch, which does, is then resumed on the new channel."""
DEFAULT_PORT: Final = 2379
REQUIRE_LEADER: Final = (("hasleader", "true"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How to prove who we are: PEM bytes for mutual TLS, or a user and password, or neither (loopback)."""

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        """Hide key and password."""
        return f"Credentials(tls={self.ca is not None}, user={self.user!r})"


def target_of(endpoint: str) -> str:
    """Complete an endpoint (``host``, ``host:port``, ``[v6]:port``, ``v6``) with the default port."""
    if endpoint.startswith("[") or endpoint.count(":") == 1:
        return endpoint if not endpoint.endswith("]") else f"{endpoint}:{DEFAULT_PORT}"
    return f"[{endpoint}]:{DEFAULT_PORT}" if ":" in endpoint else f"{endpoint}:{DEFAULT_PORT}"


def error_of(error: grpc.aio.AioRpcError) -> StoreError:  # noqa: PLR0911 - a table read top to bottom
    """Map a gRPC error to ours; whatever is not known to be definite is indefinite."""
    code, text = error.code(), error.details() or ""
    said = f"{code.name.lower()}: {text}" if text else code.name.lower()
    if "requested lease not found" in text:
        return LeaseLost(said)
    if "required revision has been compacted" in text:
        return Compacted(said)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        if "database space exceeded" in text:
            return NoSpace(said)
        return Indefinite(said) if "too many requests" in text else Refused(said)
    if code is grpc.StatusCode.UNAUTHENTICATED or "revision of auth store is old" in text or "in header is old" in text:
        return Unauthenticated(said)
    if code in _DEFINITE:
        return Refused(said)
    if code is grpc.StatusCode.UNAVAILABLE and "failed to connect" in text:
        return Unreachable(said)
    return Indefinite(said)


_DEFINITE = frozenset(
    {
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.ALREADY_EXISTS,
    }
)


def _given_up() -> Indefinite:
    """Tell the end of a call whose channel was closed from the end of its caller, which is raised again.

    grpc.aio cancels the calls of a channel that is closed, which must not end whoever waits for them.
    """
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise asyncio.CancelledError
    return Indefinite("the channel was given up")


class Member:
    """One endpoint: its channel and the stubs on it."""

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        """Open lazily: gRPC connects at the first call."""
        self.endpoint = target_of(endpoint)
        target = f"dns:///{self.endpoint}"
        if credentials.ca is None:
            self.channel = grpc.aio.insecure_channel(target, options=OPTIONS)
        else:
            tls = grpc.ssl_channel_credentials(credentials.ca, credentials.key, credentials.certificate)
            self.channel = grpc.aio.secure_channel(target, tls, options=OPTIONS)
        self.kv = rpc_pb2_grpc.KVStub(self.channel)
        self.lease = rpc_pb2_grpc.LeaseStub(self.channel)
        self.watch = rpc_pb2_grpc.WatchStub(self.channel)
        self.auth = rpc_pb2_grpc.AuthStub(self.channel)
        self.maintenance = rpc_pb2_grpc.MaintenanceStub(self.channel)


class Members:
    """All endpoints, one of them preferred until it fails."""

    def __init__(self, endpoints: tuple[str, ...], credentials: Credentials) -> None:
        """Make a channel per endpoint; raises ValueError without endpoints."""
        if not endpoints:
            raise ValueError("etcd: at least one endpoint")
        self._credentials = credentials
        self.all = tuple(Member(endpoint, credentials) for endpoint in endpoints)
        self._preferred = 0
        self._token = ""
        self._cluster_id = 0

    async def call(self, method: Callable[[Member], Any], request: Any, *, timeout_s: float, repeat: bool) -> Any:
        """Make one unary call; with ``repeat`` other members are asked after an indefinite error, in the time given."""
        deadline = time.monotonic() + timeout_s
        tries, logins = len(self.all), 1
        while True:
            member = self.all[self._preferred]
            left = deadline - time.monotonic()
            this_try = max(min(left, TRY_MIN_S), left / tries if repeat else left)
            try:
                metadata = await self._metadata(member, this_try)
                return self.same_cluster(await method(member)(request, timeout=this_try, metadata=metadata))
            except grpc.aio.AioRpcError as error:
                mapped = self._failed(member, error)
            except asyncio.CancelledError:
                mapped = _given_up()
            if isinstance(mapped, Unauthenticated) and self._credentials.user and logins:
                logins -= 1
                continue
            tries -= 1
            may_go_on = isinstance(mapped, Unreachable) or (repeat and isinstance(mapped, Indefinite))
            if tries < 1 or not may_go_on or deadline - time.monotonic() < TRY_MIN_S:
                raise mapped

    def same_cluster(self, response: Any) -> Any:
        """Give the response back if it comes from the cluster first heard; raises WrongCluster."""
        heard = response.header.cluster_id
        if self._cluster_id == 0:
            self._cluster_id = heard
        if heard not in (0, self._cluster_id):
            self.next_member()
            raise WrongCluster(f"an endpoint belongs to cluster {heard:x}, the others to {self._cluster_id:x}")
        return response

    @asynccontextmanager
    async def stream(self, method: Callable[[Member], Any], *, timeout_s: float | None) -> AsyncIterator[Any]:
        """Open a bidirectional stream that ends when the member has no leader."""
        member = self.all[self._preferred]
        try:
            metadata = await self._metadata(member, timeout_s or 5.0)
            call = method(member)(timeout=timeout_s, metadata=(*metadata, *REQUIRE_LEADER))
            try:
                yield call
            finally:
                call.cancel()
        except grpc.aio.AioRpcError as error:
            raise self._failed(member, error) from None
        except asyncio.InvalidStateError as error:
            # grpc.aio says so when the stream was already over; nothing is known about what was sent on it.
            raise Indefinite(str(error)) from None
        except asyncio.CancelledError:
            raise _given_up() from None

    async def use(self, credentials: Credentials) -> None:
        """Go on with other credentials: new channels at once; returns when the old ones are closed."""
        old, self._credentials, self._token = self.all, credentials, ""
        self.all = tuple(Member(member.endpoint, credentials) for member in old)
        try:
            await asyncio.sleep(RETIRE_S)
        finally:
            for member in old:
                await member.channel.close()

    async def close(self) -> None:
        """Close every channel."""
        for member in self.all:
            await member.channel.close()

    def next_member(self) -> None:
        """Prefer the next endpoint (a watch that stalls, an endpoint that answers late)."""
        self._preferred = (self._preferred + 1) % len(self.all)

    def _failed(self, member: Member, error: grpc.aio.AioRpcError) -> StoreError:
        mapped = error_of(error)
        if isinstance(mapped, Unauthenticated):
            self._token = ""
        if isinstance(mapped, Indefinite) and member is self.all[self._preferred]:
            self.next_member()
        return mapped

    async def _metadata(self, member: Member, timeout_s: float) -> tuple[tuple[str, str], ...]:
        if not self._credentials.user:
            return ()
        if not self._token:
            request = rpc_pb2.AuthenticateRequest(name=self._credentials.user, password=self._credentials.password)
            self._token = (await member.auth.Authenticate(request, timeout=timeout_s)).token
        return (("token", self._token),)
