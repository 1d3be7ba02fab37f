"""``python -m node.rehearsal.drill.gatekeeper``: the gates as a process of their own, told what to do on its input.

Of its own, since everything between the hosts passes here, and the drill's process now and then reads long histories.
The first line of the input is a ``Plan``, every other one an ``Order``; each is answered by an ``Answer``. It ends with
its input.
"""

import asyncio
import sys
from typing import Final

import msgspec

from node.rehearsal.drill.gates import Gates
from node.rehearsal.drill.network import Cut, Wire
from node.rehearsal.drill.owners import Owners

LINE_MAX: Final = 1 << 20


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to open, and how to tell who comes."""

    wires: tuple[Wire, ...]
    pid_files: dict[str, str]
    """File with a process id, to the host it is on."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do: a cut, or with none to heal."""

    cut: Cut | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    ports: tuple[int, ...] = ()
    """Of the wires, in their order; after the plan."""
    still: int = 0
    """Connections that stand still; after a cut."""
    error: str = ""


async def keep() -> None:
    """Serve until the input ends."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(LINE_MAX)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    plan = msgspec.json.decode(await reader.readline(), type=Plan)
    gates = Gates(plan.wires, Owners(plan.pid_files).source)
    try:
        try:
            _say(Answer(ports=tuple(await gates.start())))
        except OSError as error:
            _say(Answer(error=str(error)))
            return
        while line := await reader.readline():
            order = msgspec.json.decode(line, type=Order)
            if order.cut is None:
                gates.heal()
            _say(Answer(still=gates.cut(order.cut) if order.cut is not None else 0))
    finally:
        await gates.close()


def _say(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(keep())
