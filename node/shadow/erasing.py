"""Takes one address, or all, out of what history keeps of other nodes' settled mail, as the spool does. Pure."""

import msgspec

from node.shadow.contract import Past
from node.spool.contract import JourneyLine
from node.spool.erasing import Eraser
from node.spool.hiding import Hider
from node.spool.rows import Unreadable, facts_of, message_of


def erased(past: Past, eraser: Eraser, actor: str, now_ms: int) -> Past | None:
    """Give a settled message without the address; None if it does not name it, or cannot be read."""
    try:
        old = message_of(past.facts)
    except Unreadable:
        return None
    new, lines = eraser.message(old), tuple(eraser.line(line) for line in past.lines)
    if new == old and lines == past.lines:
        return None
    line = JourneyLine(at_ms=now_ms, event="erased", detail={"actor": actor})
    return msgspec.structs.replace(past, facts=facts_of(new), lines=(*lines, line))


def hidden(past: Past, hider: Hider) -> Past | None:
    """Give a settled message with keyed hashes in place of its addresses; None if it cannot be read."""
    try:
        old = message_of(past.facts)
    except Unreadable:
        return None
    lines = tuple(hider.line(line) for line in past.lines)
    return msgspec.structs.replace(past, facts=facts_of(hider.message(old)), lines=lines)
