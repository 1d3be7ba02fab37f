"""A process that keeps copies of any spool, until it is killed: python -m tests.support.copying_keeper PKI DIRECTORY.

It says the port it listens on, and knows no pairings (yet): it takes the sender's word.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

from coordinator.peers.channel import PeerServer
from coordinator.pki import Pki
from node.shadow.receiver import BODY_MAX, Here, Receiver
from node.shadow.sqlite import SqliteCopies
from tests.support.copies import CLUSTER, ME, OWNER, SHADOW
from tests.support.spool_mail import T0


async def main(pki: str, directory: str) -> None:
    copies = SqliteCopies(Path(directory))
    await copies.open(T0)
    receiver = Receiver(copies, Here(cluster=CLUSTER, me=lambda: ME, view=lambda _key: None))
    server = PeerServer(Pki(Path(pki)), CLUSTER, lambda: (OWNER, SHADOW), receiver.routes(), body_max=BODY_MAX)
    print(await server.start("127.0.0.1", 0), flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
