"""A proxy that takes the connection and never answers: given up long before an answer would be, with nothing sent."""

import asyncio
import time

import pytest

from node.m365.errors import HttpFailed
from node.m365.https import Body, Https
from node.settings.host import Egress
from tests.support.connect_proxy import ProxyProcess

PATIENCE_S = 60.0


@pytest.fixture
def hanging(tmp_path):
    with ProxyProcess(tmp_path / "proxy", {}) as proxy:
        proxy.rules("hang")
        yield proxy


@pytest.fixture
async def https(hanging):
    made = Https(Egress(https_proxy=f"http://127.0.0.1:{hanging.port}"), connections=1, opening_s=1.0)
    yield made
    await made.close()


async def test_nothing_of_the_body_is_begun(https):
    begun = []

    async def pieces():
        begun.append(True)
        yield b"x"

    began_s = time.monotonic()
    with pytest.raises(HttpFailed) as caught:
        await https.ask("POST", "https://graph.example/", {}, Body(1, pieces()), timeout_s=PATIENCE_S)
    assert (caught.value.word, begun) == ("timeout", [])
    assert "no connection came about in time (see egress.https_proxy)" in str(caught.value)
    assert time.monotonic() - began_s < PATIENCE_S / 2


async def test_a_wait_for_a_turn_is_not_taken_for_it(https):
    """One at a time: the second waits as long as the first takes, and has its own time then."""

    async def asked() -> float:
        with pytest.raises(HttpFailed, match="no connection came about"):
            await https.ask("GET", "https://graph.example/", {}, timeout_s=PATIENCE_S)
        return time.monotonic()

    first, second = sorted(await asyncio.gather(asked(), asked()))
    assert second - first > 0.5
