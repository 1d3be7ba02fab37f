"""A real Chromium walks the console of a three-node cluster: every page and action, light, dark and on a phone."""

import hashlib
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from tests.support.chromium import AXE, CHROMIUM, chromium
from tests.support.ports import free_ports
from tests.support.relay_cluster import NAMES, RelayCluster, token_entry
from tests.support.simulated import Simulated, directory
from tests.support.world import hand_in, until, view, wide

AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
TOKEN = "ops-token"
PAGES = ("", "budget", "queue", "accounts", "clients", "history", "events")
LOOKS = (("light", {}), ("dark", {"dark": True}), ("phone", {"wide": 390, "high": 844}))
SUBMIT = "document.querySelector({!r}).requestSubmit(document.querySelector({!r}))"


class Shown(RelayCluster):
    """A cluster whose first node has a console on a port."""

    port = 0

    def config(self, name: str) -> dict:
        tokens = {"ops": token_entry(TOKEN)}
        port = self.port if name == NAMES[0] else 0
        return super().config(name) | {
            "admin": {"port": port, "tokens": tokens, "trace_url": "https://t.test/{trace_id}"}
        }


def test_what_judges_is_what_was_vetted():
    assert hashlib.sha256(AXE.read_bytes()).hexdigest() == AXE_SHA256


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")
async def test_walk(tmp_path):
    accounts = ["relay1", "relay2"]
    with ExitStack() as stack:
        cloud = stack.enter_context(Simulated(tmp_path / "sim", directory(accounts)))
        made = Shown(tmp_path / "c", cloud, wide(*accounts), copies="preferred", timing="steady")
        made.port = free_ports(1)[0]
        cluster = stack.enter_context(made)
        async with chromium(tmp_path / "browser") as page:
            await walk(page, cluster, f"http://127.0.0.1:{made.port}/console/", tmp_path)
        hosts = {urlsplit(url).netloc for url in page.requests if url.startswith("http")}
        assert hosts == {f"127.0.0.1:{made.port}"}, "a request left the host"
        assert not page.complaints


async def walk(page, cluster, base: str, home) -> None:
    await page.open(base)
    assert await page.run("location.pathname") == "/console/sign-in"
    await page.run(f"document.querySelector('#token').value = {TOKEN!r}")
    await page.press("document.querySelector('form').requestSubmit()")
    assert await page.run("location.pathname") == "/console/"
    for name in NAMES:
        await page.until(f"document.body.innerText.includes({name!r})")
    held = await hold(page, cluster, base)
    await let_go(page, cluster, base, held)
    await park(page, cluster, base)
    await numbers_move(page, cluster, base)
    await look_at_all(page, base, held, home)
    dead = NAMES[2]
    cluster.nodes[dead].kill()
    await page.open(base + "queue")
    assert dead in await page.text(), "a node that does not answer is named"


def sent(cluster, name: str, to: str) -> str:
    node = cluster.nodes[name]
    return hand_in(node.port(), "app@contoso.com", to, host=cluster.address(name))


async def hold(page, cluster, base: str) -> str:
    """Mail of another node is held from the first one's page."""
    for name in NAMES:
        cluster.nodes[name].post("/v1/accounts/park", account="path/contoso/submission", reason="walk", here=True)
    held = sent(cluster, NAMES[1], "hold@example.com")
    await page.open(base + "queue")
    assert NAMES[1] in await page.text()
    await page.run(f"document.querySelector('input[value=\"{held}\"]').checked = true")
    await page.run("document.querySelector('#reason').value = 'looked at'")
    await page.press("document.querySelector('button[formaction=\"/console/queue/hold\"]').click()")
    until(lambda: state_of(cluster, NAMES[1], held) == "held")
    assert "held" in await page.text()
    return held


async def let_go(page, cluster, base: str, held: str) -> None:
    for name in NAMES:
        cluster.nodes[name].post("/v1/accounts/resume", account="path/contoso/submission", here=True)
    await page.open(base + "queue?states=held")
    await page.run(f"document.querySelector('input[value=\"{held}\"]').checked = true")
    await page.press("document.querySelector('button[formaction=\"/console/queue/release\"]').click()")
    until(lambda: state_of(cluster, NAMES[1], held) == "delivered", 40)


async def park(page, cluster, base: str) -> None:
    """An account parked on a page is parked on every node, and resumed."""
    await page.open(base + "accounts")
    form = 'form[action="/console/accounts/park"].inline'
    await page.run(f"document.querySelector('{form} input[name=reason]').value = 'walk'")
    await page.press(f"document.querySelector('{form} button').click()")
    await page.until("document.body.innerText.includes('parked')")
    until(lambda: "parked" in str(cluster.nodes[NAMES[2]].get("/v1/accounts")), 30)
    await page.press("document.querySelector('form[action=\"/console/accounts/resume\"].inline button').click()")
    until(lambda: "parked" not in str(cluster.nodes[NAMES[2]].get("/v1/accounts")), 30)


async def numbers_move(page, cluster, base: str) -> None:
    """The overview tells of mail without being asked again."""
    await page.open(base)
    before = await page.run("document.querySelector('main').innerText")
    for number in range(3):
        sent(cluster, NAMES[0], f"more{number}@example.com")
    await page.until(f"document.querySelector('main').innerText !== {before!r}", 40)


async def look_at_all(page, base: str, held: str, home) -> None:
    for name, look in LOOKS:
        await page.looks(**look)
        for path in (*PAGES, f"message/{held}"):
            await page.open(base + path)
            await page.photograph(home / f"{name}-{path.partition('/')[0] or 'overview'}.png")
            assert not await page.faults(), (name, path)
            wider = await page.run("document.documentElement.scrollWidth - window.innerWidth")
            assert wider <= 0, f"{name} {path}: the page is {wider} px wider than the window"
    await page.looks()


def state_of(cluster, name: str, queue_id: str) -> str:
    return view(cluster.nodes[name], queue_id)["recipients"][0]["state"]
