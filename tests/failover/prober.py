"""The client: a new SMTP session every 50 ms, each on its own; run inside the client's namespace.

``python -m tests.failover.prober ADDRESS FILE`` writes a JSON line for each attempt to FILE until SIGTERM, then waits
for the attempts under way. Times are CLOCK_MONOTONIC, which all namespaces share. An attempt is one TCP connection with
the kernel's own retransmissions (the SYN again after 1 s and 3 s), given up after ``GIVE_UP_S``.
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

from tests.failover.figures import EVERY_S

GIVE_UP_S: Final = 5.0
PORT: Final = 25


async def _session(loop: asyncio.AbstractEventLoop, address: str, found: dict) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        await loop.sock_connect(sock, (address, PORT))
        found["connected"] = time.monotonic()
        banner = b""
        while b"\n" not in banner:
            more = await loop.sock_recv(sock, 1024)
            if not more:
                found["outcome"] = "closed"
                return
            banner += more
        found["banner"] = time.monotonic()
        found["outcome"] = "ok" if banner.startswith(b"220") else f"said {banner[:3].decode(errors='replace')}"
        await loop.sock_sendall(sock, b"QUIT\r\n")
        while await loop.sock_recv(sock, 1024):
            pass
        found["ended"] = time.monotonic()


async def attempt(loop: asyncio.AbstractEventLoop, address: str) -> dict:
    """One session: what became of it, and when."""
    found: dict = {"started": time.monotonic(), "outcome": "timeout"}
    try:
        async with asyncio.timeout(GIVE_UP_S):
            await _session(loop, address, found)
    except TimeoutError:
        pass
    except ConnectionRefusedError:
        found["outcome"] = "refused"
    except ConnectionResetError:
        # After the banner the client has what it came for: the session's end was lost, not the session.
        found["outcome"] = "ok" if found["outcome"] == "ok" else "reset"
    except OSError as error:
        if found["outcome"] != "ok":
            found["outcome"] = os.strerror(error.errno or 0)
    return found


async def _probe(address: str, target: Path) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    under_way: set[asyncio.Task] = set()
    with target.open("w", buffering=1) as out:

        def done(task: asyncio.Task) -> None:
            under_way.discard(task)
            out.write(json.dumps(task.result()) + "\n")

        due = time.monotonic()
        while not stop.is_set():
            task = loop.create_task(attempt(loop, address))
            under_way.add(task)
            task.add_done_callback(done)
            due += EVERY_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, due - time.monotonic()))
        while under_way:
            await asyncio.wait(under_way)


if __name__ == "__main__":
    gc.freeze()
    with contextlib.suppress(PermissionError):  # a client has a machine of its own: it must not wait behind the hosts
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
    asyncio.run(_probe(sys.argv[1], Path(sys.argv[2])))
