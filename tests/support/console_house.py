"""A real administration server with its console on a port, a real spool behind it; the rest of the node is small."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from node.audit import Audit
from node.console.server import Console
from tests.integration.test_admin_api import TOKENS
from tests.support.admin_house import AdminHouse, admin_house


@dataclass
class ConsoleHouse:
    """The console, and a browser of few words: it keeps cookies and follows nothing by itself."""

    house: AdminHouse
    console: Console
    base: str
    http: aiohttp.ClientSession

    @property
    def origin(self) -> dict[str, str]:
        return {"Origin": self.base}

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.http.get(self.base + path, headers=headers, allow_redirects=False) as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, headers: dict | None = None, **form) -> tuple[int, str]:
        """Send a form; gives the status, and where it leads or what it says."""
        sent = self.origin if headers is None else headers
        async with self.http.post(self.base + path, data=form, headers=sent, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location") or await answer.text()

    async def sign_in(self, token: str) -> None:
        assert await self.post("/console/sign-in", token=token) == (303, "/console/")

    async def csrf(self) -> str:
        _, text = await self.get("/console/queue")
        return re.search(r'name="csrf" value="([^"]+)"', text)[1]

    def audited(self) -> list[dict]:
        return self.console._door._audit.newest(100)


@contextlib.asynccontextmanager
async def console_house(tmp_path: Path, **options):
    audit = Audit(tmp_path / "audit", "n1")
    async with admin_house(tmp_path, tokens=TOKENS, audit=audit) as house:
        console = Console(house.server, node="n1", names=("relay.test",), **options)
        await house.server.start_port("127.0.0.1", 0, pages=console.mount)
        # Cookies of an address are kept, and the secure ones sent on clear HTTP, as browsers do on loopback.
        jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=f"http://127.0.0.1:{house.server.port}")
        async with aiohttp.ClientSession(cookie_jar=jar) as http:
            yield ConsoleHouse(house, console, f"http://127.0.0.1:{house.server.port}", http)
