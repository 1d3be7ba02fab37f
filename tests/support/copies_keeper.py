"""A process that keeps copies until it is killed. Usage: python -m tests.support.copies_keeper PKI DIRECTORY.

It says the port it listens on. The pairing is the one of ``tests.support.copies``.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

from coordinator.peers.channel import PeerServer
from coordinator.pki import Pki
from node.shadow.receiver import BODY_MAX, Here, Receiver
from node.shadow.sqlite import SqliteCopies
from tests.support.copies import CLUSTER, ME, OWNER, SHADOW, view
from tests.support.spool_mail import T0


async def main(pki: str, directory: str) -> None:
    copies = SqliteCopies(Path(directory))
    await copies.open(T0)
    receiver = Receiver(copies, Here(cluster=CLUSTER, me=lambda: ME, view=lambda _key: view()))
    server = PeerServer(Pki(Path(pki)), CLUSTER, lambda: (OWNER, SHADOW), receiver.routes(), body_max=BODY_MAX)
    print(await server.start("127.0.0.1", 0), flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
