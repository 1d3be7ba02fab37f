"""Messages whose body is a file: the file first, then the row, and the file given back if the row failed.

At start it looks for files without a row, and rows without their file.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from node.spool import reading
from node.spool.bodies import INLINE_BYTES, Bodies
from node.spool.contract import Accepted, BodyFile
from node.spool.engine import Engine
from node.spool.errors import WrongRequest
from node.spool.journal import arrival_of
from node.spool.salvage import SetAside
from node.spool.work import Arrival


def inline(item: Accepted) -> Arrival | None:
    """A message whose body goes into the database; None for one that becomes a file."""
    body = item.body
    if isinstance(body, BodyFile) or len(body) > INLINE_BYTES:
        return None
    return arrival_of(item, len(body))


async def append_file(item: Accepted, engine: Engine, bodies: Bodies) -> None:
    """Durable when it returns. Raises WrongRequest for an id already here or a file that is not as described."""
    message_id, body = item.message.id, item.body
    size_bytes = len(body) if isinstance(body, bytes) else body.size_bytes
    if await known(message_id, engine):
        raise WrongRequest(f"message {message_id} is in the spool already")
    file = await engine.readers.run(partial(bodies.take, message_id, body))
    try:
        await engine.append(arrival_of(item, size_bytes, file))
    except Exception:
        # After a doubtful commit the row may be there; then the file stays too.
        if not engine.broken and not await known(message_id, engine):
            await engine.readers.run(partial(bodies.give_back, file))
        raise


async def known(message_id: str, engine: Engine) -> bool:
    """Whether a message is here, live or past."""
    return engine.pending.holds(message_id) or await engine.readers.ask(reading.knows, message_id)


async def check_files(engine: Engine, bodies: Bodies, aside: SetAside, lose: Callable[[str], Awaitable[None]]) -> None:
    """Rows without their file are dead (``lose``); files without a row are set aside."""
    rows = await engine.ask_anyway(reading.body_files)
    lost = [message_id for message_id, file, size in rows if not bodies.fits(file, size)]
    if aside.notes:
        # Only a salvage can lose a row of bodies; the look through all of them would cost a large spool its start.
        lost += await engine.ask_anyway(reading.bodiless)
    for message_id in lost:
        await lose(message_id)
    known = {file for _, file, _ in rows} | engine.pending.files()
    for path in await engine.readers.run(partial(bodies.strays, known)):
        await engine.readers.run(partial(aside.move, path, "no message names this file"))
