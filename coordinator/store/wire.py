"""Our values to etcd's messages and back; knows the generated messages, no connection.

The stubs come from the package aetcd; nothing else of it is used (DECISIONS).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from aetcd.rpc import kv_pb2, rpc_pb2

from coordinator.store.contract import Change, Compare, Delete, Field, Item, Listing, Outcome, Put, Write


def range_end(prefix: bytes) -> bytes:
    r"""Give the first key after all keys with the prefix; ``\0`` (no end) when there is none."""
    for position in range(len(prefix) - 1, -1, -1):
        if prefix[position] < 0xFF:  # noqa: PLR2004 - the largest byte
            return prefix[:position] + bytes((prefix[position] + 1,))
    return b"\0"


def get_request(key: str) -> Any:
    """Ask for one key, linearisably."""
    return rpc_pb2.RangeRequest(key=key.encode())


def list_request(prefix: str, *, at: int = 0) -> Any:
    """Ask for a prefix, linearisably; at a revision unless 0."""
    begin = prefix.encode()
    return rpc_pb2.RangeRequest(key=begin, range_end=range_end(begin), revision=at)


def txn_request(compares: Sequence[Compare], writes: Sequence[Write]) -> Any:
    """Ask for a transaction; on failure the present items of the compared keys are read in it."""
    keys = dict.fromkeys(compare.key for compare in compares)
    return rpc_pb2.TxnRequest(
        compare=[_compare(compare) for compare in compares],
        success=[_write(write) for write in writes],
        failure=[rpc_pb2.RequestOp(request_range=get_request(key)) for key in keys],
    )


def watch_request(prefix: str, revision: int) -> Any:
    """Ask for changes from a revision on, with word of progress when nothing happens."""
    begin = prefix.encode()
    create = rpc_pb2.WatchCreateRequest(
        key=begin, range_end=range_end(begin), start_revision=revision, progress_notify=True
    )
    return rpc_pb2.WatchRequest(create_request=create)


def item_of(found: Any) -> Item:
    """Read one key-value message."""
    return Item(
        key=found.key.decode(errors="replace"),
        value=bytes(found.value),
        create_revision=found.create_revision,
        mod_revision=found.mod_revision,
        lease=found.lease,
    )


def listing_of(response: Any) -> Listing:
    """Read a range response."""
    items = sorted((item_of(found) for found in response.kvs), key=lambda item: item.key)
    return Listing(items=tuple(items), revision=response.header.revision)


def outcome_of(response: Any) -> Outcome:
    """Read a transaction's response."""
    found: list[Item] = []
    if not response.succeeded:
        for answer in response.responses:
            found.extend(item_of(item) for item in answer.response_range.kvs)
    return Outcome(succeeded=response.succeeded, revision=response.header.revision, found=tuple(found))


def changes_of(events: Iterable[Any]) -> tuple[Change, ...]:
    """Read a watch response's events."""
    return tuple(
        Change(
            key=event.kv.key.decode(errors="replace"),
            item=None if event.type == kv_pb2.Event.DELETE else item_of(event.kv),
            revision=event.kv.mod_revision,
        )
        for event in events
    )


def _compare(compare: Compare) -> Any:
    message = rpc_pb2.Compare(key=compare.key.encode(), result=rpc_pb2.Compare.EQUAL)
    if compare.field is Field.CREATE:
        message.target = rpc_pb2.Compare.CREATE
        message.create_revision = compare.equals
    elif compare.field is Field.MOD:
        message.target = rpc_pb2.Compare.MOD
        message.mod_revision = compare.equals
    else:
        message.target = rpc_pb2.Compare.LEASE
        message.lease = compare.equals
    return message


def _write(write: Write) -> Any:
    if isinstance(write, Put):
        put = rpc_pb2.PutRequest(key=write.key.encode(), value=write.value, lease=write.lease)
        return rpc_pb2.RequestOp(request_put=put)
    assert isinstance(write, Delete)  # noqa: S101 - the union has two members
    return rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=write.key.encode()))
