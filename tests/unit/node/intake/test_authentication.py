"""Users and passwords: rotation, expiry, bounded work, and nothing told to strangers."""

import asyncio
import threading
from datetime import date

import pytest

from node.intake import authentication
from node.intake.authentication import RIGHT_MS, WRONG_MS, Authenticated, Authenticator, Refused
from node.policy.passwords import PasswordHashError, StoredPassword, hash_fast, hash_pbkdf2

SALT = bytes(range(16))
NOW_MS = 1_795_442_400_000  # 2026-11-23


class Clock:
    def __init__(self):
        self.ms = NOW_MS

    def __call__(self):
        return self.ms


def slow(password, until=None):
    return StoredPassword(hash=hash_pbkdf2(password, SALT, 1000), until=until)


def fast(password, until=None):
    return StoredPassword(hash=hash_fast(password, SALT), until=until)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def make(clock):
    made = []

    def build(users, **options):
        made.append(Authenticator(users, pool_threads=1, now_ms=clock, **options))
        return made[-1]

    yield build
    for authenticator in made:
        await authenticator.close()


@pytest.fixture
def checks(monkeypatch):
    """Every slow check that really ran, by its password."""
    ran = []
    real = authentication._verify_any

    def counted(hashes, dummy, password):
        ran.append(password)
        return real(hashes, dummy, password)

    monkeypatch.setattr(authentication, "_verify_any", counted)
    return ran


async def test_right_and_wrong(make):
    auth = make({"Billing": [slow(b"secret")]})
    assert await auth.verify("billing", b"secret", "10.0.0.1") == Authenticated(user="Billing")
    assert await auth.verify("BILLING", b"secret", "10.0.0.1") == Authenticated(user="Billing")
    assert await auth.verify("billing", b"Secret", "10.0.0.1") == Refused(delay_s=0.0, reason="wrong")
    assert await auth.verify("billing", b"", "10.0.0.1") == Refused(delay_s=0.0, reason="wrong")


async def test_real_argon2(make):
    from node.policy.passwords import hash_argon2

    auth = make({"a": [StoredPassword(hash=hash_argon2(b"secret", SALT))]})
    assert isinstance(await auth.verify("a", b"secret", "10.0.0.1"), Authenticated)
    assert isinstance(await auth.verify("a", b"wrong", "10.0.0.1"), Refused)


async def test_rotation_and_last_day(make, clock):
    auth = make({"a": [slow(b"old", date(2026, 11, 23)), fast(b"new")]})
    assert isinstance(await auth.verify("a", b"old", "10.0.0.1"), Authenticated)
    assert isinstance(await auth.verify("a", b"new", "10.0.0.1"), Authenticated)
    clock.ms += 86_400_000
    assert isinstance(await auth.verify("a", b"old", "10.0.0.1"), Refused)
    assert isinstance(await auth.verify("a", b"new", "10.0.0.1"), Authenticated)


async def test_expiry_counts_at_once_even_for_remembered_pairs(make, clock):
    clock.ms = 1_795_478_340_000  # 23:59 UTC
    auth = make({"a": [slow(b"old", date(2026, 11, 23))]})
    assert isinstance(await auth.verify("a", b"old", "10.0.0.1"), Authenticated)
    clock.ms += 120_000
    assert isinstance(await auth.verify("a", b"old", "10.0.0.1"), Refused)


async def test_unknown_user_costs_the_same_work_and_answers_the_same(make, checks, monkeypatch):
    weighed = []
    real = authentication.verify_password
    monkeypatch.setattr(
        authentication, "verify_password", lambda stored, word: weighed.append(stored) or real(stored, word)
    )
    auth = make({"a": [slow(b"secret")], "quick": [fast(b"generated")]})
    known = await auth.verify("a", b"wrong", "10.0.0.1")
    unknown = await auth.verify("nobody", b"wrong", "10.0.0.1")
    quick = await auth.verify("quick", b"wrong", "10.0.0.1")
    assert known == unknown == quick
    assert len(checks) == 3
    slow_ones = [stored for stored in weighed if stored.startswith("$pbkdf2-sha256$1000$")]
    assert len(slow_ones) == 3, "the same kind at the same cost for each of them"


async def test_only_fast_hashes_need_no_thread(make, checks):
    auth = make({"quick": [fast(b"generated")]})
    assert isinstance(await auth.verify("quick", b"generated", "10.0.0.1"), Authenticated)
    assert isinstance(await auth.verify("nobody", b"generated", "10.0.0.1"), Refused)
    assert checks == []


async def test_pairs_are_remembered_for_a_while(make, clock, checks):
    auth = make({"a": [slow(b"secret")]})
    for _ in range(3):
        await auth.verify("a", b"secret", "10.0.0.1")
        await auth.verify("a", b"wrong", "10.0.0.1")
    assert checks == [b"secret", b"wrong"]
    clock.ms += WRONG_MS
    await auth.verify("a", b"secret", "10.0.0.1")
    await auth.verify("a", b"wrong", "10.0.0.1")
    assert checks == [b"secret", b"wrong", b"wrong"]
    clock.ms += RIGHT_MS - WRONG_MS
    await auth.verify("a", b"secret", "10.0.0.1")
    assert checks[3:] == [b"secret"]


async def test_memory_of_pairs_is_bounded_and_holds_no_secret(make, monkeypatch):
    monkeypatch.setattr(authentication, "REMEMBERED", 5)
    auth = make({"quick": [fast(b"generated")]})
    for n in range(20):
        await auth.verify("quick", f"guess{n}".encode(), "10.0.0.1")
    assert len(auth._known) == 5
    assert not any(b"guess" in key for key in auth._known)


async def test_wrong_passwords_get_slower_but_the_right_one_passes_at_once(make):
    auth = make({"shared": [fast(b"good")]})
    delays = [(await auth.verify("shared", b"bad", "10.0.0.1")).delay_s for _ in range(10)]
    assert delays == sorted(delays)
    assert delays[-1] == 30.0
    assert isinstance(await auth.verify("shared", b"good", "10.0.0.1"), Authenticated)


async def test_a_full_queue_is_a_temporary_refusal(make, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(authentication, "_verify_any", lambda *_: gate.wait(30))
    auth = make({"a": [slow(b"x")]}, queue=3, queue_per_address=2)
    try:
        waiting = [asyncio.create_task(auth.verify("a", b"%d" % n, f"10.0.0.{n // 2}")) for n in range(3)]
        await asyncio.sleep(0)
        busy = Refused(delay_s=0.0, reason="busy", temporary=True)
        assert await auth.verify("a", b"9", "10.0.0.9") == busy, "the whole queue is full"
    finally:
        gate.set()
    assert all(isinstance(answer, Authenticated) for answer in await asyncio.gather(*waiting))
    await asyncio.sleep(0)
    assert auth._waiting == {}
    assert auth._running == {}


async def test_one_address_cannot_fill_the_queue(make, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(authentication, "_verify_any", lambda *_: gate.wait(30))
    auth = make({"a": [slow(b"x")]}, queue=10, queue_per_address=2)
    try:
        waiting = [asyncio.create_task(auth.verify("a", b"%d" % n, "192.0.2.66")) for n in range(2)]
        await asyncio.sleep(0)
        assert (await auth.verify("a", b"9", "192.0.2.66")).temporary
        waiting.append(asyncio.create_task(auth.verify("a", b"good", "10.0.0.1")))
        await asyncio.sleep(0)
    finally:
        gate.set()
    assert all(isinstance(answer, Authenticated) for answer in await asyncio.gather(*waiting))


async def test_the_same_pair_is_checked_once_for_all_who_ask_together(make, checks):
    auth = make({"a": [slow(b"secret")]}, queue=2, queue_per_address=1)
    answers = await asyncio.gather(*(auth.verify("a", b"secret", "10.0.0.1") for _ in range(50)))
    assert set(map(type, answers)) == {Authenticated}
    assert checks == [b"secret"]


async def test_a_client_that_hangs_up_does_not_cancel_the_others(make, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(authentication, "_verify_any", lambda *_: gate.wait(30))
    auth = make({"a": [slow(b"secret")]})
    first = asyncio.create_task(auth.verify("a", b"secret", "10.0.0.1"))
    second = asyncio.create_task(auth.verify("a", b"secret", "10.0.0.2"))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert isinstance(await second, Authenticated)


async def test_reload_forgets(make):
    auth = make({"a": [slow(b"secret")]})
    assert isinstance(await auth.verify("a", b"secret", "10.0.0.1"), Authenticated)
    auth.replace({"a": [slow(b"other")]})
    assert isinstance(await auth.verify("a", b"secret", "10.0.0.1"), Refused)
    with pytest.raises(PasswordHashError):
        auth.replace({"a": [StoredPassword(hash="junk")]})
    assert isinstance(await auth.verify("a", b"other", "10.0.0.1"), Authenticated), "a bad table changes nothing"


@pytest.mark.parametrize(
    ("user", "password"),
    [("x" * 100_000, b"x"), ("a", b"x" * 100_000), ("\udcff", b"\xff\x00"), ("", b""), ("a\x00", b"\x00")],
)
async def test_rubbish_is_only_wrong(make, user, password):
    auth = make({"a": [slow(b"secret")]})
    assert isinstance(await auth.verify(user, password, "10.0.0.1"), Refused)


async def test_a_very_long_password_never_fits_by_its_beginning(make):
    beginning = b"x" * 1024
    auth = make({"a": [slow(beginning)]})
    assert isinstance(await auth.verify("a", beginning, "10.0.0.1"), Authenticated)
    assert isinstance(await auth.verify("a", beginning + b"y", "10.0.0.1"), Refused)
