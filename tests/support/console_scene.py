"""Three nodes with their consoles, and a real Chromium that walks them."""

import contextlib
import hashlib
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.test_copies import three_nodes
from tests.support.ports import free_ports
from tests.support.relay_cluster import NAMES, RelayCluster

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
ROLES = ("viewer", "operator", "admin")
TRACES = "https://traces.example/trace/{trace_id}"
SLOW_MS = 60_000
"""A busy machine's browser may take long; nothing is judged by it."""
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def tokens_of_roles() -> dict[str, dict]:
    until = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
    return {
        role: {"hash": f"sha256:{hashlib.sha256(role.encode()).hexdigest()}", "role": role, "until": until}
        for role in ROLES
    }


class ConsoleCluster(RelayCluster):
    """Each node's administration port known beforehand; a token of each role, which is the role's name."""

    def config(self, name: str) -> dict:
        plain = super().config(name)
        plain["admin"] = {"port": free_ports(1)[0], "tokens": tokens_of_roles(), "trace_url": TRACES}
        return plain

    def url(self, name: str, path: str = "/console/") -> str:
        return f"http://127.0.0.1:{self.nodes[name].config['admin']['port']}{path}"


@contextlib.contextmanager
def consoles(home: Path, **more):
    with three_nodes(home, kind=ConsoleCluster, **more) as (cluster, cloud):
        yield cluster, cloud


@contextlib.contextmanager
def chromium():
    """A browser that can reach this machine alone; skipped with the reason where there is none."""
    if not CHROMIUM:
        pytest.skip("Chromium is not installed (Debian: chromium)")
    from playwright.sync_api import sync_playwright

    flags = ["--disable-gpu", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=flags, chromium_sandbox=False, timeout=2 * SLOW_MS
        )
        try:
            yield browser
        finally:
            browser.close()


class Walker:
    """One browser context: notes every request, every fault of a page."""

    def __init__(self, browser, *, dark: bool = False, size: dict = WIDE):
        self.context = browser.new_context(color_scheme="dark" if dark else "light", viewport=size)
        self.context.set_default_timeout(SLOW_MS)
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))

    def sign_in(self, url: str, token: str) -> None:
        self.page.goto(url)
        self.page.get_by_label("Administration token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/console/")

    def see(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for()


__all__ = ["NAMES", "PHONE", "ROLES", "TRACES", "WIDE", "ConsoleCluster", "Walker", "chromium", "consoles"]
