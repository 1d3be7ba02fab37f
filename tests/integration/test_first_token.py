"""How the first administrator gets in: a token of one use, in a file of mode 0600, that ends by itself."""

import logging
import stat
from types import SimpleNamespace

import pytest

from node.admin.once import EVENT, GOOD_S, MOST, NAME, Once
from node.app import first_run
from node.app.first_run import FILE, FirstRun
from node.console import server
from tests.integration.test_admin_api import TOKENS
from tests.support.console_house import console_house
from tests.support.spool_mail import T0


@pytest.fixture
async def house(tmp_path):
    async with console_house(tmp_path) as made:
        yield made


async def made(house) -> str:
    status, answer = await house.house.ask("POST", "/v1/sign-in/once", json={})
    assert status == 200
    return answer["token"]


async def test_it_opens_the_console_once_and_is_audited(house):
    token = await made(house)
    await house.sign_in(token)
    status, page = await house.get("/console/queue")
    assert (status, NAME in page) == (200, True)
    events = {(entry["actor"], entry["event"]) for entry in house.audited()}
    assert (NAME, EVENT) in events
    assert token not in str(house.audited())
    house.http.cookie_jar.clear()
    status, page = await house.post("/console/sign-in", token=token)
    assert (status, "expected Authorization" in page or "known" in page) == (401, True)


async def test_it_is_no_token_of_the_interface_and_made_on_the_host_alone(house):
    token = await made(house)
    async with house.http.get(f"{house.base}/v1/status", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 401
    known = {"Authorization": "Bearer admin-token"}
    async with house.http.post(f"{house.base}/v1/sign-in/once", json={}, headers=known) as answer:
        assert answer.status in (401, 404, 405)


async def test_it_ends_after_an_hour(house, monkeypatch):
    token = await made(house)
    now_ms = server._now_ms()
    monkeypatch.setattr(server, "_now_ms", lambda: now_ms + GOOD_S * 1000 + 1000)
    status, _ = await house.post("/console/sign-in", token=token)
    assert status == 401


def test_only_so_many_wait():
    once = Once(None)
    tokens = [once.make(T0).token for _ in range(MOST + 1)]
    assert [once.good(token, T0) for token in tokens] == [False] + [True] * MOST
    once.withdraw()
    assert not any(once.good(token, T0) for token in tokens)


class Nobody:
    """Opens every session."""

    def open(self, *_) -> None:
        """Fine."""


def settings(tmp_path, **admin):
    return SimpleNamespace(runtime=tmp_path, admin=SimpleNamespace(**{"tokens": {}, "oidc": None, **admin}))


def test_the_file_of_a_first_start(tmp_path, caplog):
    once, place = Once(Nobody()), tmp_path / FILE
    first = FirstRun(once, settings(tmp_path))
    with caplog.at_level(logging.WARNING):
        first.begin(settings(tmp_path), 8025)
    token = place.read_text().strip()
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert str(place) in caplog.text
    assert token not in caplog.text, "the log tells where it lies, never what it is"
    first.look()
    assert place.exists()
    assert once.take(token, first_run.wall_ms())
    assert not place.exists(), "used"
    assert once.take(token, first_run.wall_ms()) == ""


def test_the_file_goes_when_its_token_ends_or_somebody_is_configured(tmp_path, monkeypatch):
    once, place = Once(Nobody()), tmp_path / FILE
    first = FirstRun(once, settings(tmp_path))
    first.begin(settings(tmp_path), 8025)
    token = place.read_text().strip()
    first.changed(settings(tmp_path, tokens={"ops": TOKENS[0]}))
    assert (place.exists(), once.take(token, first_run.wall_ms())) == (False, "")
    first.begin(settings(tmp_path), 8025)
    later_ms = first_run.wall_ms() + GOOD_S * 1000
    monkeypatch.setattr(first_run, "wall_ms", lambda: later_ms)
    first.look()
    assert not place.exists()


def test_nobody_needs_one_where_somebody_is_configured(tmp_path):
    place = tmp_path / FILE
    place.write_text("of an earlier start")
    FirstRun(Once(Nobody()), settings(tmp_path)).begin(settings(tmp_path, oidc=object()), 8025)
    assert not place.exists()
