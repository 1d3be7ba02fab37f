"""The store on etcd v3: thin calls over ``channel.py`` and ``wire.py``, and a watch that survives what etcd does.

Nothing is cached, nothing is repeated that could happen twice.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any

from aetcd.rpc import rpc_pb2

from coordinator.store import wire
from coordinator.store.ageing import Age
from coordinator.store.channel import Credentials, Member, Members
from coordinator.store.contract import (
    Compacted,
    Compare,
    Health,
    Indefinite,
    Item,
    LeaseLost,
    Listing,
    Outcome,
    Put,
    Refused,
    Seen,
    StoreError,
    WentBack,
    Write,
)
from coordinator.store.following import Follower

STREAM_QUEUE_MAX = 1_000
"""Watch responses waiting to be consumed; the stream is not read further until there is room."""
PAUSE_S = 0.2
LIST_TIMEOUT_S = 5.0
_ALARMS = {1: "NOSPACE", 2: "CORRUPT"}


class EtcdStore:
    """``Store`` on an etcd cluster (3.4 or newer)."""

    def __init__(self, endpoints: Sequence[str], credentials: Credentials | None = None) -> None:
        """Name the members; nothing is connected before the first call."""
        self._members = Members(tuple(endpoints), credentials or Credentials())
        self._age = Age()

    @property
    def newest(self) -> int:
        """See Store."""
        return self._age.newest

    def on_went_back(self, tell: Callable[[WentBack], None]) -> None:
        """See Store."""
        self._age.on_went_back(tell)

    def expect(self, revision: int) -> None:
        """See Store."""
        self._age.learned(revision)

    async def get(self, key: str, *, timeout_s: float) -> Item | None:
        """See Store."""
        response = await self._ordered(lambda m: m.kv.Range, wire.get_request(key), timeout_s, repeat=True)
        return wire.item_of(response.kvs[0]) if response.kvs else None

    async def list(self, prefix: str, *, timeout_s: float) -> Listing:
        """See Store."""
        response = await self._ordered(lambda m: m.kv.Range, wire.list_request(prefix), timeout_s, repeat=True)
        return wire.listing_of(response)

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write], *, timeout_s: float) -> Outcome:
        """See Store."""
        asked_at, request = self._age.asking(), wire.txn_request(compares, writes)
        response = await self._ordered(lambda m: m.kv.Txn, request, timeout_s, repeat=False)
        if response.succeeded and any(isinstance(write, Put) for write in writes):
            self._age.answered(asked_at + 1, response.header.revision)  # a write makes a revision of its own
        return wire.outcome_of(response)

    async def grant(self, ttl_s: int, *, timeout_s: float) -> int:
        """See Store. Not repeated: a lost answer may have left a lease behind, which then simply ends."""
        request = rpc_pb2.LeaseGrantRequest(TTL=ttl_s)
        response = await self._members.call(lambda m: m.lease.LeaseGrant, request, timeout_s=timeout_s, repeat=False)
        if response.error:
            raise Refused(response.error)
        return int(response.ID)

    async def renew(self, lease: int, *, timeout_s: float) -> int:
        """See Store."""
        async with self._members.stream(lambda m: m.lease.LeaseKeepAlive, timeout_s=timeout_s) as call:
            await call.write(rpc_pb2.LeaseKeepAliveRequest(ID=lease))
            response = await call.read()
            if not hasattr(response, "TTL"):
                raise Indefinite("the renewal stream ended without an answer")
            ttl_s = self._members.same_cluster(response).TTL
            if ttl_s <= 0:
                raise LeaseLost(f"lease {lease:x} is gone")
            return int(ttl_s)

    async def revoke(self, lease: int, *, timeout_s: float) -> None:
        """See Store."""
        request = rpc_pb2.LeaseRevokeRequest(ID=lease)
        with suppress(LeaseLost):
            await self._members.call(lambda m: m.lease.LeaseRevoke, request, timeout_s=timeout_s, repeat=True)

    async def lease_left_s(self, lease: int, *, timeout_s: float) -> int:
        """See Store."""
        request = rpc_pb2.LeaseTimeToLiveRequest(ID=lease)
        response = await self._members.call(
            lambda m: m.lease.LeaseTimeToLive, request, timeout_s=timeout_s, repeat=True
        )
        return int(response.TTL)

    async def health(self, *, timeout_s: float) -> tuple[Health, ...]:
        """See Store."""
        asked = [self._health_of(member, timeout_s) for member in self._members.all]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return tuple(answer for answer in answers if isinstance(answer, Health))

    async def watch(self, prefix: str, *, poll_s: float) -> AsyncIterator[Seen]:
        """See Store."""
        follower = Follower(prefix)
        while True:
            try:
                yield follower.resynced(await self.list(prefix, timeout_s=LIST_TIMEOUT_S))
                async for seen in self._follow(follower, poll_s):
                    yield seen
            except Compacted:
                continue
            except StoreError:
                await asyncio.sleep(PAUSE_S)

    async def use(self, credentials: Credentials) -> None:
        """Go on with other credentials: certificates renewed, a password changed."""
        await self._members.use(credentials)

    async def close(self) -> None:
        """See Store."""
        await self._members.close()

    async def _ordered(self, method: Callable[[Member], Any], request: Any, timeout_s: float, *, repeat: bool) -> Any:
        """Make a call whose answer is of the newest state there is; raises WentBack for one that is not."""
        asked_at = self._age.asking()
        response = await self._members.call(method, request, timeout_s=timeout_s, repeat=repeat)
        self._age.answered(asked_at, response.header.revision)
        return response

    async def _follow(self, follower: Follower, poll_s: float) -> AsyncIterator[Seen]:
        """Read the stream and, at a slow beat, the state itself; resume on another member when the stream ends."""
        while True:
            responses: asyncio.Queue[Any] = asyncio.Queue(STREAM_QUEUE_MAX)
            reader = asyncio.create_task(self._read_stream(follower.prefix, follower.next_revision, responses))
            try:
                async for seen in self._consume(follower, responses, reader, poll_s):
                    yield seen
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
            await asyncio.sleep(PAUSE_S)

    async def _consume(
        self, follower: Follower, responses: "asyncio.Queue[Any]", reader: "asyncio.Task[None]", poll_s: float
    ) -> AsyncIterator[Seen]:
        loop = asyncio.get_running_loop()
        next_poll = loop.time() + poll_s
        while True:
            try:
                async with asyncio.timeout_at(next_poll):
                    response = await responses.get()
            except TimeoutError:
                if reader.done() and responses.empty():  # its last word found no room in the queue
                    return
                next_poll = loop.time() + poll_s
                seen = follower.polled(await self.list(follower.prefix, timeout_s=LIST_TIMEOUT_S))
                if seen is not None:
                    yield seen
                continue
            if response is None:
                await reader  # raises what ended the stream, Compacted among it
                return
            self._age.learned(self._members.same_cluster(response).header.revision)
            seen = follower.streamed(wire.changes_of(response.events), response.header.revision)
            if seen is not None:
                yield seen

    async def _read_stream(self, prefix: str, revision: int, responses: "asyncio.Queue[Any]") -> None:
        """Put every response into the queue; None at the end, whatever ended it."""
        try:
            async with self._members.stream(lambda m: m.watch.Watch, timeout_s=None) as call:
                await call.write(wire.watch_request(prefix, revision))
                while hasattr(response := await call.read(), "canceled"):
                    if response.compact_revision:
                        raise Compacted(f"watch at {revision}, compacted to {response.compact_revision}")  # noqa: TRY301
                    if response.canceled:
                        self._members.next_member()
                        return
                    # The answer to the creation tells a revision whose changes are still to come: not progress.
                    if not response.created:
                        await responses.put(response)
        except Compacted:
            raise
        except StoreError:
            return  # resumed at the next revision, on another member
        finally:
            with suppress(asyncio.QueueFull):
                responses.put_nowait(None)

    async def _health_of(self, member: Any, timeout_s: float) -> Health:
        status = await member.maintenance.Status(rpc_pb2.StatusRequest(), timeout=timeout_s)
        request = rpc_pb2.AlarmRequest(action=rpc_pb2.AlarmRequest.GET)
        alarms = await member.maintenance.Alarm(request, timeout=timeout_s)
        return Health(
            endpoint=member.endpoint,
            cluster_id=status.header.cluster_id,
            member_id=status.header.member_id,
            leader_id=status.leader,
            revision=status.header.revision,
            version=status.version,
            db_bytes=status.dbSize,
            alarms=tuple(_ALARMS.get(found.alarm, str(found.alarm)) for found in alarms.alarms),
        )
