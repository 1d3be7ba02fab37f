"""When a token is fetched, renewed, kept and given up, with a clock and an Entra that do as told."""

import asyncio

import pytest

from node.m365.app import TenantApp
from node.m365.errors import AlertReason, TokenRefused, TokenUnavailable, UnknownTenant
from node.m365.token import AccessToken
from node.m365.tokens import BACKOFF_MAX_MS, FLOOR_MS, GAP_MS, PARK_MS, TokenSource
from node.settings.base import SecretRef

MIN = 60_000


class Told:
    """A fetcher that gives tokens of ``life_ms`` or raises ``error``; ``gate`` holds it up."""

    def __init__(self, clock):
        self.clock, self.life_ms, self.error, self.asked, self.closed = clock, 75 * MIN, None, 0, False
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()

    async def fetch(self, app, credential):
        self.asked += 1
        if not self.gate.is_set():
            self.arrived.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return AccessToken(value=f"{app.client_id}-{self.asked}", expires_ms=self.clock.ms + self.life_ms)

    async def close(self):
        self.closed = True


class Clock:
    ms = 1_800_000_000_000

    def __call__(self):
        return self.ms


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told(clock):
    return Told(clock)


@pytest.fixture
def app(tmp_path):
    (tmp_path / "secret").write_text("s")
    return TenantApp(
        tenant_id="t", client_id="c", authority="https://x", scope="s", secret=SecretRef(file=tmp_path / "secret")
    )


@pytest.fixture
async def source(app, told, clock):
    changes = []
    made = TokenSource({"t": app}, told, now_ms=clock, jitter=lambda: 1.0, on_change=changes.append)
    made.changes = changes
    yield made
    await made.close()


async def settle(source):
    """Let background renewals end."""
    while source._tasks:
        await asyncio.wait(source._tasks)
        await asyncio.sleep(0)


async def test_before_half_life_nobody_asks_again(source, told, clock):
    first = await source.token("t")
    clock.ms += 37 * MIN
    assert await source.token("t") is first
    assert told.asked == 1


async def test_at_half_life_it_is_renewed_in_the_background(source, told, clock):
    first = await source.token("t")
    clock.ms += 38 * MIN
    told.gate.clear()
    assert await source.token("t") is first, "nobody waits for it"
    assert await source.token("t") is first
    told.gate.set()
    await settle(source)
    assert (await source.token("t")).value == "c-2"
    assert told.asked == 2


async def test_with_less_than_ten_minutes_left_the_new_one_is_waited_for(source, told, clock):
    first = await source.token("t")
    clock.ms = first.expires_ms - FLOOR_MS
    assert (await source.token("t")).value == "c-2"


async def test_the_floor_comes_first_where_half_life_is_later(source, told, clock):
    told.life_ms = 15 * MIN
    await source.token("t")
    clock.ms += 6 * MIN  # half life would be at 7.5 min
    assert (await source.token("t")).value == "c-2"


async def test_short_lived_tokens_are_not_fetched_for_every_message(source, told, clock):
    told.life_ms = 5 * MIN
    first = await source.token("t")
    clock.ms += GAP_MS - 1
    assert await source.token("t") is first
    clock.ms += 1
    assert (await source.token("t")).value == "c-2"


async def test_tokens_dead_on_arrival_are_a_failure_and_make_no_loop(source, told, clock):
    told.life_ms = 0
    for _ in range(5):
        with pytest.raises(TokenUnavailable, match="clock"):
            await source.token("t")
    assert told.asked == 1


async def test_everybody_waits_for_one_request(source, told):
    told.gate.clear()
    waiting = [asyncio.create_task(source.token("t")) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    told.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert {token.value for token in results[1:]} == {"c-1"}
    assert told.asked == 1


async def test_an_outage_serves_what_is_valid_to_its_end(source, told, clock):
    first = await source.token("t")
    told.error = TokenUnavailable(AlertReason.SERVER_ERROR, "down")
    while clock.ms < first.expires_ms - 1:
        clock.ms = min(clock.ms + MIN, first.expires_ms - 1)
        assert await source.token("t") is first
        await settle(source)
    clock.ms = first.expires_ms
    with pytest.raises(TokenUnavailable) as caught:
        await source.token("t")
    assert caught.value.retry_ms > clock.ms
    assert told.asked < 20
    told.error = None
    clock.ms = caught.value.retry_ms
    await source.token("t")
    assert source.changes[-1].reason is None
    assert source.changes[0].reason is AlertReason.SERVER_ERROR


async def test_failures_back_off_to_a_bound_and_a_success_forgets_them(source, told, clock):
    told.error = TokenUnavailable(AlertReason.UNREACHABLE, "down")
    waits = []
    for _ in range(12):
        with pytest.raises(TokenUnavailable) as caught:
            await source.token("t")
        waits.append(caught.value.retry_ms - clock.ms)
        with pytest.raises(TokenUnavailable):
            await source.token("t")
        clock.ms = caught.value.retry_ms
    assert told.asked == 12
    assert waits[:3] == [1_000, 2_000, 4_000]
    assert waits[-1] == BACKOFF_MAX_MS
    told.error = None
    await source.token("t")
    assert source._flows["t"].failures == 0


async def test_jitter_spreads_half_of_the_wait(app, told, clock):
    told.error = TokenUnavailable(AlertReason.UNREACHABLE, "down")
    source = TokenSource({"t": app}, told, now_ms=clock, jitter=lambda: 0.0)
    with pytest.raises(TokenUnavailable) as caught:
        await source.token("t")
    assert caught.value.retry_ms == clock.ms + 500
    await source.close()


async def test_a_permanent_refusal_is_parked_until_the_file_changes_or_ten_minutes_went_by(source, told, clock, app):
    told.error = TokenRefused(AlertReason.SECRET_EXPIRED, "expired")
    for _ in range(50):
        with pytest.raises(TokenRefused):
            await source.token("t")
        clock.ms += 5_000
    assert told.asked == 1
    assert [(state.permanent, state.reason) for state in source.states()] == [(True, AlertReason.SECRET_EXPIRED)]
    app.secret.file.write_text("another")
    with pytest.raises(TokenRefused):
        await source.token("t")
    assert told.asked == 2
    clock.ms += PARK_MS
    told.error = None
    assert (await source.token("t")).value == "c-3"


async def test_an_operators_word_ends_the_wait_at_once(source, told, clock):
    told.error = TokenRefused(AlertReason.SECRET_EXPIRED, "expired")
    with pytest.raises(TokenRefused):
        await source.token("t")
    told.error = None
    with pytest.raises(TokenRefused):
        await source.token("t")
    source.ask_again()
    assert (await source.token("t")).value == "c-2"


async def test_calling_a_token_stale_asks_once_a_minute_at_most(source, told, clock):
    first = await source.token("t")
    assert not source.invalidate("t"), "it was fetched this minute"
    assert await source.token("t") is first
    clock.ms += GAP_MS
    assert source.invalidate("t", first)
    second = await source.token("t")
    assert second is not first
    assert not source.invalidate("t", first), "that one is gone already"
    assert not source.invalidate("nobody")
    assert told.asked == 2


async def test_a_tenant_without_app_is_told_so(source):
    with pytest.raises(UnknownTenant, match="tenant x"):
        await source.token("x")


async def test_a_reload_keeps_tokens_of_unchanged_apps_and_nobody_is_left_waiting(source, told, clock, app):
    first = await source.token("t")
    other = TenantApp(tenant_id="u", client_id="d", authority="https://x", scope="s", secret=app.secret)
    source.reload({"t": app, "u": other})
    assert await source.token("t") is first
    told.gate.clear()
    waiting = asyncio.create_task(source.token("u"))
    await asyncio.wait_for(told.arrived.wait(), 5)
    source.reload({"t": app})
    told.gate.set()
    assert (await waiting).value == "d-2"
    with pytest.raises(UnknownTenant):
        await source.token("u")


async def test_closing_closes_the_fetcher(source, told):
    await source.close()
    assert told.closed
