# ruff: noqa: ASYNC110, ASYNC240 - a test waits for a process of its own, and reads its files
"""A real Chromium, led through its DevTools protocol: a page is opened, read, pressed, photographed.

A browser's own process, with a profile of its own and no way out but the host it is told of; every request it makes is
kept. Source: Chrome DevTools Protocol 1.3 (Page, Runtime, Network, Emulation).
"""

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium")
AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js"
SERIOUS = ("serious", "critical")


class PageError(AssertionError):
    """The page or the browser answered with an error."""


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse):
        self._socket, self._numbers = socket, itertools.count(1)
        self._waiting: dict[int, asyncio.Future] = {}
        self._loaded = asyncio.Event()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        """What the page's scripts and its policies said of faults."""
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif said["method"] == "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])
            elif said["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(said["params"]["exceptionDetails"]["text"])
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.complaints.append(said["params"]["entry"]["text"])

    async def call(self, method: str, **params: Any) -> dict:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(60):
            said = await self._waiting[number]
        if "error" in said:
            raise PageError(f"{method}: {said['error']}")
        return said["result"]

    async def open(self, url: str) -> None:
        self._loaded.clear()
        await self.call("Page.navigate", url=url)
        await self._come()

    async def _come(self) -> None:
        async with asyncio.timeout(60):
            await self._loaded.wait()

    async def run(self, script: str) -> Any:
        """Give what an expression is worth; promises are waited for."""
        said = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in said:
            raise PageError(f"{script[:200]}: {said['exceptionDetails']}")
        return said["result"].get("value")

    async def press(self, script: str) -> None:
        """Do what leads to another page, and wait until that has come."""
        self._loaded.clear()
        await self.run(script)
        await self._come()

    async def text(self) -> str:
        return await self.run("document.body.innerText")

    async def until(self, script: str, bound_s: float = 30.0) -> Any:
        """Wait until an expression is true; give its value."""
        async with asyncio.timeout(bound_s):
            while not (found := await self.run(script)):
                await asyncio.sleep(0.2)
        return found

    async def looks(self, *, dark: bool = False, wide: int = 1280, high: int = 900) -> None:
        """Prefer dark or light; be as wide as a phone or a desk."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=wide, height=high, deviceScaleFactor=1, mobile=wide < 600
        )

    async def photograph(self, file: Path) -> None:
        said = await self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(said["data"]))

    async def faults(self) -> list[str]:
        """Give what axe finds of serious faults for those who do not see or point."""
        await self.call("Page.setBypassCSP", enabled=True)
        await self.run(AXE.read_text() + "; 1")
        found = await self.run("axe.run().then(r => r.violations.map(v => [v.impact, v.id, v.nodes[0].html]))")
        return [f"{impact} {name}: {html[:200]}" for impact, name, html in found if impact in SERIOUS]


@asynccontextmanager
async def chromium(home: Path):
    """A browser with one tab."""
    home.mkdir(parents=True, exist_ok=True)
    log = (home / "log").open("wb")
    flags = (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0",
        f"--user-data-dir={home / 'profile'}",
    )  # fmt: skip
    process = subprocess.Popen([CHROMIUM, *flags, "about:blank"], stdout=log, stderr=log)  # noqa: ASYNC220
    try:
        async with aiohttp.ClientSession() as http, http.ws_connect(await _tab(home, http), max_msg_size=0) as socket:
            page = Page(socket)
            for domain in ("Page", "Runtime", "Network", "Log"):
                await page.call(f"{domain}.enable")
            yield page
            page._reading.cancel()
    finally:
        process.terminate()
        process.wait(20)
        log.close()


async def _tab(home: Path, http: aiohttp.ClientSession) -> str:
    file = home / "profile" / "DevToolsActivePort"
    async with asyncio.timeout(60):
        while not file.exists() or "\n" not in file.read_text():
            await asyncio.sleep(0.1)
        port = file.read_text().split("\n")[0]
        while True:
            async with http.get(f"http://127.0.0.1:{port}/json") as answer:
                tabs = [each for each in await answer.json() if each["type"] == "page"]
            if tabs:
                return tabs[0]["webSocketDebuggerUrl"]
            await asyncio.sleep(0.1)
