"""A real Chromium opens each page of a console once; the walk over three nodes and all actions is a long test."""

import re
import stat
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from tests.support.chromium import CHROMIUM, chromium
from tests.support.ports import free_ports
from tests.support.simulated import Simulated, directory
from tests.support.world import hand_in, relay, until, view, wide

PAGES = ("", "queue", "budget", "accounts", "clients", "history?recipient=bob@example.com", "events")


@pytest.mark.timeout(120)
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")
async def test_each_page_once(tmp_path):
    with ExitStack() as stack:
        cloud = stack.enter_context(Simulated(tmp_path / "sim", directory(["relay1"])))
        port = free_ports(1)[0]
        node = relay(cloud, tmp_path / "n", wide("relay1"))
        node.config["admin"] = {"port": port}
        stack.enter_context(node)
        first = node.home / "run" / "first-token"
        assert stat.S_IMODE(first.stat().st_mode) == 0o600
        queue_id = hand_in(node.port(), "app@contoso.com", "bob@example.com")
        until(lambda: view(node, queue_id)["recipients"][0]["state"] == "delivered")
        async with chromium(tmp_path / "browser") as page:
            await looked(page, f"http://127.0.0.1:{port}/console/", first.read_text().strip(), queue_id)
        assert not first.exists(), "a token of one use is gone with its file"
        hosts = {urlsplit(url).netloc for url in page.requests if url.startswith("http")}
        assert hosts == {f"127.0.0.1:{port}"}, "a request left the host"
        assert not page.complaints


async def looked(page, base: str, token: str, queue_id: str) -> None:
    await page.open(base)
    await page.run(f"document.querySelector('#token').value = {token!r}")
    await page.press("document.querySelector('form').requestSubmit()")
    assert await page.run("location.pathname") == "/console/"
    for path in (*PAGES, f"message/{queue_id}"):
        await page.open(base + path)
        assert not await page.faults(), path
        if path == "accounts":
            assert re.search(r"250 2\.\d\.\d", await page.text()), "what Microsoft said last"
        if path.startswith(("history", "message")):
            assert "bob@example.com" in await page.text()
