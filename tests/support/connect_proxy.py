"""A CONNECT proxy as a process of its own: passes, refuses, wants credentials, or hangs, as a file says at the moment.

``python -m tests.support.connect_proxy HOME`` reads ``HOME/proxy.json``: ``mode`` (``pass``, ``refuse``, ``hang``),
``credentials`` (``user:password``, or nothing), ``targets`` (what a target leads to: names only the proxy knows).
Each CONNECT is a line in ``HOME/asked``.
"""

import asyncio
import base64
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

HANG_S = 600.0
"""Longer than any test waits."""


async def serve(home: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        rules = json.loads((home / "proxy.json").read_text())
        method, target, _ = head.split(" ", 2)
        with (home / "asked").open("a") as asked:
            asked.write(f"{method} {target}\n")
        if rules["mode"] == "hang":
            await asyncio.sleep(HANG_S)
        wanted = "Basic " + base64.b64encode(rules["credentials"].encode()).decode()
        if rules["credentials"] and wanted not in head:
            await say(writer, "407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=proxy")
        elif method != "CONNECT" or rules["mode"] == "refuse":
            await say(writer, "403 Forbidden")
        elif target not in rules["targets"]:
            await say(writer, "502 Bad Gateway")
        else:
            back, forth = await asyncio.open_connection("127.0.0.1", rules["targets"][target])
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(pump(reader, forth), pump(back, writer))
    writer.close()


async def say(writer: asyncio.StreamWriter, status: str) -> None:
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
    await writer.drain()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(home: Path) -> None:
    server = await asyncio.start_server(lambda reader, writer: serve(home, reader, writer), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class ProxyProcess:
    """``with ProxyProcess(home, targets) as proxy``; ``rules`` changes it while it runs."""

    def __init__(self, home: Path, targets: dict[str, int]) -> None:
        self.home, self.targets, self.port = home, targets, 0
        home.mkdir(parents=True, exist_ok=True)
        self.rules()

    def rules(self, mode: str = "pass", credentials: str = "") -> None:
        kept = {"mode": mode, "credentials": credentials, "targets": self.targets}
        fresh = self.home / "proxy.json.new"
        fresh.write_text(json.dumps(kept))
        fresh.replace(self.home / "proxy.json")

    def asked(self) -> list[str]:
        file = self.home / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.support.connect_proxy", str(self.home)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(self, *exc) -> None:
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
