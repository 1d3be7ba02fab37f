"""Appends a message whose body is a file: the file first, then the row, and the file given back if the row failed."""

from functools import partial

from node.spool import reading, steps
from node.spool.bodies import Bodies
from node.spool.contract import Accepted
from node.spool.errors import WrongRequest
from node.spool.operations import Step
from node.spool.readers import Readers
from node.spool.writer import Writer


async def append_file(item: Accepted, writer: Writer, readers: Readers, bodies: Bodies) -> None:
    """Durable when it returns. Raises WrongRequest for an id already here or a file that is not as described."""
    message_id, body = item.message.id, item.body
    size_bytes = len(body) if isinstance(body, bytes) else body.size_bytes
    if await readers.ask(reading.knows, message_id):
        raise WrongRequest(f"message {message_id} is in the spool already")
    file = await readers.run(partial(bodies.take, message_id, body))
    try:
        await writer.do(Step(apply=partial(steps.append, item, size_bytes, file), messages=(message_id,)))
    except Exception:
        # After a doubtful commit the row may be there; then the file stays too.
        if not writer.broken and not await readers.ask(reading.knows, message_id):
            await readers.run(partial(bodies.give_back, file))
        raise
