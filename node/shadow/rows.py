"""Rows of the copy store as the contract's values. Pure."""

from typing import cast

from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached
from node.shadow.contract import Held, Past
from node.spool.database import Row
from node.spool.rows import journey_of


def held_of(row: Row) -> Held:
    """One pairing in numbers."""
    spool, shadow, epoch, node, messages, size_bytes = row
    return Held(
        attached=Attached(key=PairKey(spool=str(spool), shadow=str(shadow)), epoch=cast("int", epoch)),
        node=str(node),
        messages=cast("int", messages),
        size_bytes=cast("int", size_bytes),
    )


def past_of(row: Row) -> Past:
    """One settled message."""
    name, discarded_ms, facts, lines = row
    return Past(
        message_id=str(name),
        facts=cast("bytes", facts),
        discarded_ms=cast("int", discarded_ms),
        lines=tuple(journey_of([cast("bytes", lines)])),
    )
