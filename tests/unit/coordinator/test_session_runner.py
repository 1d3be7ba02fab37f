"""The session's runner in virtual time on the memory store, with a store that fails in between."""

import asyncio
import random

import pytest

from coordinator.errors import NotAMember
from coordinator.keys import Keys, Role, decode, encode
from coordinator.members import MemberRecord
from coordinator.runner import Self, SessionRunner
from coordinator.runtime import AlreadyRunning, ForeignCluster, HeldLease, KnownCluster
from coordinator.session import Phase
from coordinator.store.contract import Health, Indefinite, Put, WentBack
from coordinator.store.memory import MemoryStore
from coordinator.timing import FAST
from tests.support.virtual_loop import run_virtual

KEY = Keys(cluster="c").member(Role.NODE, "a")
T = 1.0


class Flaky(MemoryStore):
    """Fails by word of the test, before or after doing what was asked."""

    def __init__(self, loop):
        super().__init__(loop.time)
        self.silent = False
        self.lose_answers = False
        self.renewals = 0

    async def _maybe(self, call, timeout_s):
        if self.silent:
            await asyncio.sleep(timeout_s)
            raise Indefinite("unavailable")
        answer = await call
        if self.lose_answers:
            await asyncio.sleep(timeout_s)
            raise Indefinite("deadline exceeded")
        return answer

    async def txn(self, compares, writes, *, timeout_s):
        call = super().txn(compares, writes, timeout_s=timeout_s)
        return await self._maybe(call, timeout_s) if not self.silent else await self._fail(call, timeout_s)

    async def renew(self, lease, *, timeout_s):
        self.renewals += 1
        call = super().renew(lease, timeout_s=timeout_s)
        return await self._maybe(call, timeout_s) if not self.silent else await self._fail(call, timeout_s)

    async def grant(self, ttl_s, *, timeout_s):
        call = super().grant(ttl_s, timeout_s=timeout_s)
        return await call if not self.silent else await self._fail(call, timeout_s)

    async def revoke(self, lease, *, timeout_s):
        call = super().revoke(lease, timeout_s=timeout_s)
        return await call if not self.silent else await self._fail(call, timeout_s)

    async def _fail(self, call, timeout_s):
        call.close()
        await asyncio.sleep(timeout_s)
        raise Indefinite("unavailable")


def me(path, boot="boot-1", process="p1", progress=None, known=None, loop=None):
    record = MemberRecord(node="a", boot_id=boot, process_id=process)
    return Self(
        key=KEY, record=record, held=HeldLease(path / "lease", boot), known=known,
        progress_ms=progress or loop.now_ms,
    )  # fmt: skip


async def phase(runner, wanted, within_s=60.0):
    async with asyncio.timeout(within_s):
        while runner.session.phase is not wanted:
            await runner.changed.wait()


def start(store, who, loop):
    runner = SessionRunner(store, FAST, who, now_ms=loop.now_ms)
    return runner, asyncio.ensure_future(runner.run())


def test_it_joins_renews_and_resigns(tmp_path):
    async def main(loop):
        store = Flaky(loop)
        with me(tmp_path, loop=loop).held as held:
            who = Self(key=KEY, record=MemberRecord(node="a", boot_id="b", process_id="p"), held=held,
                       progress_ms=loop.now_ms)  # fmt: skip
            runner, task = start(store, who, loop)
            await phase(runner, Phase.LIVE)
            item = await store.get(KEY, timeout_s=T)
            assert item.create_revision == runner.session.inc
            assert decode(item.value, MemberRecord).node == "a"
            assert held.read() == runner.session.lease
            await asyncio.sleep(3_600)
            assert runner.session.inc == item.create_revision
            assert 3_500 <= store.renewals <= 3_601
            task.cancel()
            await runner.resign()
            assert await store.get(KEY, timeout_s=T) is None
            assert held.read() == 0

    run_virtual(main)


def test_silence_ends_it_at_the_deadline_and_an_answer_before_saves_it(tmp_path):
    async def main(loop):
        store = Flaky(loop)
        who = me(tmp_path, loop=loop)
        runner, _ = start(store, who, loop)
        await phase(runner, Phase.LIVE)
        inc = runner.session.inc
        store.silent = True
        await asyncio.sleep(2.5)
        store.silent = False
        await asyncio.sleep(5)
        assert runner.session.inc == inc
        store.silent = True
        deadline_ms = runner.session.deadline_ms
        await phase(runner, Phase.OUT)
        assert deadline_ms <= loop.now_ms() <= deadline_ms + 1
        with pytest.raises(NotAMember):
            await runner.guarded([], [Put(key="/x", value=b"")], timeout_s=T)
        store.silent = False
        await phase(runner, Phase.LIVE)
        assert runner.session.inc > inc
        who.held.close()

    run_virtual(main)


def test_a_lost_lease_ends_it_at_once_and_nothing_is_written_after(tmp_path):
    async def main(loop):
        store = Flaky(loop)
        who = me(tmp_path, loop=loop)
        runner, _ = start(store, who, loop)
        await phase(runner, Phase.LIVE)
        await store.revoke(runner.session.lease, timeout_s=T)
        with pytest.raises(NotAMember):
            await runner.guarded([], [Put(key="/x", value=b"")], timeout_s=T)
        assert runner.session.phase is Phase.OUT
        assert await store.get("/x", timeout_s=T) is None
        await phase(runner, Phase.LIVE)
        second = runner.session.inc
        await store.revoke(runner.session.lease, timeout_s=T)
        await asyncio.sleep(1.1)  # one renewal finds out
        assert runner.session.live(loop.now_ms())
        assert runner.session.inc > second
        who.held.close()

    run_virtual(main)


def test_an_answer_about_the_session_before_does_not_disturb_the_next_one_s_beginning(tmp_path):
    class Slow(Flaky):
        """Answers one transaction when it is told to, and grants only then."""

        late = None

        async def txn(self, compares, writes, *, timeout_s):
            answer = await super().txn(compares, writes, timeout_s=timeout_s)
            if any(write.key == "late" for write in writes):
                self.late = asyncio.Event()
                await self.late.wait()
            return answer

        async def grant(self, ttl_s, *, timeout_s):
            lease = await super().grant(ttl_s, timeout_s=timeout_s)
            if self.late is not None:
                await asyncio.sleep(0.1)
            return lease

    async def main(loop):
        store = Slow(loop)
        runner, task = start(store, me(tmp_path, loop=loop), loop)
        await phase(runner, Phase.LIVE)
        first = runner.session
        await store.revoke(first.lease, timeout_s=T)
        asked = asyncio.ensure_future(runner.guarded([], [Put(key="late", value=b"")], timeout_s=9.0))
        await phase(runner, Phase.JOINING)
        store.late.set()
        with pytest.raises(NotAMember):
            await asked
        assert runner.session.phase is Phase.JOINING
        await phase(runner, Phase.LIVE)
        assert runner.session.inc > first.inc
        task.cancel()

    run_virtual(main)


def test_who_has_to_stay_out_while_it_joins_does(tmp_path):
    class Slow(Flaky):
        async def txn(self, compares, writes, *, timeout_s):
            answer = await super().txn(compares, writes, timeout_s=timeout_s)
            await asyncio.sleep(0.1)
            return answer

    async def main(loop):
        store = Slow(loop)
        runner, task = start(store, me(tmp_path, loop=loop), loop)
        await phase(runner, Phase.JOINING)
        await asyncio.sleep(0.05)
        assert await store.get(KEY, timeout_s=T) is not None
        await runner.stay_out("quarantined")
        await asyncio.sleep(FAST.ttl_s + 1)
        assert (runner.session.phase, task.done()) == (Phase.OUT, False)
        assert await store.get(KEY, timeout_s=T) is None, "its lease is renewed by nobody"
        runner.come_back()
        await phase(runner, Phase.LIVE)
        task.cancel()

    run_virtual(main)


def test_a_join_whose_answer_was_lost_is_read_back_not_repeated(tmp_path):
    async def main(loop):
        store = Flaky(loop)
        store.lose_answers = True
        who = me(tmp_path, loop=loop)
        runner, _ = start(store, who, loop)
        await phase(runner, Phase.LIVE)
        assert (await store.get(KEY, timeout_s=T)).create_revision == runner.session.inc == 2
        who.held.close()

    run_virtual(main)


def test_a_name_that_lives_elsewhere_is_not_joined_beside(tmp_path):
    async def main(loop):
        store = Flaky(loop)
        other = MemberRecord(node="a", boot_id="another-boot", process_id="p0")
        lease = await store.grant(30, timeout_s=T)
        await store.txn([], [Put(key=KEY, value=encode(other), lease=lease)], timeout_s=T)
        who = me(tmp_path, loop=loop)
        runner, _ = start(store, who, loop)
        await asyncio.sleep(25)
        assert runner.session.phase is not Phase.LIVE
        assert decode(runner.blocked_by.value, MemberRecord) == other
        assert await store.lease_left_s(lease, timeout_s=T) <= 6, "trying must not prolong the other's lease"
        await phase(runner, Phase.LIVE)
        assert runner.blocked_by is None
        who.held.close()

    run_virtual(main)


def test_a_restarted_process_revokes_the_lease_of_its_life_before(tmp_path):
    async def main(loop):
        store = Flaky(loop)
        who = me(tmp_path, loop=loop)
        runner, task = start(store, who, loop)
        await phase(runner, Phase.LIVE)
        first = runner.session
        task.cancel()  # killed: nothing is said to the store
        who.held.close()
        again = me(tmp_path, process="p2", loop=loop)
        runner, _ = start(store, again, loop)
        await phase(runner, Phase.LIVE, within_s=0.5)
        assert runner.session.inc > first.inc
        assert await store.lease_left_s(first.lease, timeout_s=T) == -1
        again.held.close()

    run_virtual(main)


def test_the_lease_of_another_boot_is_not_ours(tmp_path):
    with HeldLease(tmp_path / "lease", "boot-1") as held:
        held.write(77)
        assert held.read() == 77
        with pytest.raises(AlreadyRunning):
            HeldLease(tmp_path / "lease", "boot-1")
    with HeldLease(tmp_path / "lease", "boot-2") as held:
        assert held.read() == 0
    (tmp_path / "lease").write_bytes(b"\xff garbage")
    with HeldLease(tmp_path / "lease", "boot-1") as held:
        assert held.read() == 0


def test_a_hung_loop_loses_its_session(tmp_path):
    async def main(loop):
        store = Flaky(loop)
        moved = [loop.now_ms()]
        who = me(tmp_path, progress=lambda: moved[0], loop=loop)
        runner, _ = start(store, who, loop)
        await phase(runner, Phase.LIVE)
        await phase(runner, Phase.OUT, within_s=10)
        who.held.close()

    run_virtual(main)


def health(cluster_id=9, revision=100):
    return Health(
        endpoint="x", cluster_id=cluster_id, member_id=1, leader_id=1, revision=revision, version="", db_bytes=0
    )


def test_a_replaced_or_restored_store_is_refused(tmp_path):
    path = tmp_path / "known"
    known = KnownCluster(path)
    known.check(())
    known.check((health(), health(revision=90)))
    for bad in ((health(cluster_id=8),), (health(), health(cluster_id=8)), (health(revision=99), health(revision=98))):
        with pytest.raises(ForeignCluster):
            KnownCluster(path).check(bad)
    KnownCluster(path).check((health(revision=50), health(revision=100)))
    path.write_bytes(b"{")
    with pytest.raises(ForeignCluster):
        KnownCluster(path)


def test_without_trust_in_the_store_no_session_begins(tmp_path):
    async def main(loop):
        store = Flaky(loop)
        known = KnownCluster(tmp_path / "known")
        known.check((health(cluster_id=8),))
        who = me(tmp_path, known=known, loop=loop)
        runner, _ = start(store, who, loop)
        await asyncio.sleep(20)
        assert runner.session.phase is not Phase.LIVE
        assert "last time" in runner.refused
        who.held.close()

    run_virtual(main)


def test_a_day_with_a_store_that_hiccups(tmp_path):
    """Short silences cost nothing for a day; a session is never believed after its key is gone."""

    async def main(loop):
        store = Flaky(loop)
        who = me(tmp_path, loop=loop)
        runner, _ = start(store, who, loop)
        await phase(runner, Phase.LIVE)
        inc, dice, end = runner.session.inc, random.Random(5), loop.time() + 86_400
        while loop.time() < end:
            await asyncio.sleep(dice.uniform(5, 120))
            store.silent = True
            await asyncio.sleep(dice.uniform(0, 2))
            store.silent = False
            if runner.session.live(loop.now_ms()):
                assert await store.get(KEY, timeout_s=T) is not None
        assert runner.session.inc == inc
        who.held.close()

    run_virtual(main)


def test_a_store_that_goes_back_ends_the_session_at_once_and_is_not_joined_again(tmp_path):
    async def main(loop):
        store, known = Flaky(loop), KnownCluster(tmp_path / "known")
        who = me(tmp_path, known=known, loop=loop)
        runner, _ = start(store, who, loop)
        await phase(runner, Phase.LIVE)
        older, lease = store.copy(), runner.session.lease
        await runner.guarded([], [Put(key="/x", value=b"1")], timeout_s=T)
        store.restore(older)  # with our member key and our lease in it
        assert await store.renew(lease, timeout_s=T), "a renewal alone tells nothing"
        before = runner.session.phase, loop.now_ms()
        with pytest.raises(WentBack):
            await store.get("/x", timeout_s=T)  # anybody's read in this process
        assert (before, runner.session.phase, loop.now_ms()) == ((Phase.LIVE, before[1]), Phase.OUT, before[1])
        assert "it was at 3 before" in runner.refused
        for number in range(20):  # it may come past what was known: it is the wrong one all the same
            older.txn([], [Put(key=f"/y{number}", value=b"")])
        with pytest.raises(NotAMember):
            await runner.guarded([], [Put(key="/x", value=b"2")], timeout_s=T)
        with pytest.raises(WentBack):
            await store.txn([], [Put(key="/x", value=b"2")], timeout_s=T)
        await asyncio.sleep(60)
        assert runner.session.phase is Phase.OUT
        known.note(store.newest)
        with pytest.raises(ForeignCluster, match=r"it was at 3 before.*remove"):
            KnownCluster(tmp_path / "known").check((health(cluster_id=1, revision=1_000),))
        who.held.close()

    run_virtual(main)


def test_what_was_known_in_an_earlier_life_is_expected_of_the_first_answer(tmp_path):
    async def main(loop):
        store, known = Flaky(loop), KnownCluster(tmp_path / "known")
        known.check((health(cluster_id=1, revision=1),))
        known.note(50)
        assert KnownCluster(tmp_path / "known").revision == 50
        who = me(tmp_path, known=known, loop=loop)
        runner, _ = start(store, who, loop)
        await asyncio.sleep(5)
        for number in range(100):
            store._model.txn([], [Put(key=f"/y{number}", value=b"")])
        await asyncio.sleep(60)
        assert runner.session.phase is Phase.OUT
        assert "it was at 50 before" in runner.refused
        who.held.close()

    run_virtual(main)


def test_without_any_member_s_word_of_its_cluster_nothing_is_begun(tmp_path):
    class Mute(Flaky):
        async def health(self, *, timeout_s):
            return ()

    async def main(loop):
        store = Mute(loop)
        who = me(tmp_path, known=KnownCluster(tmp_path / "known"), loop=loop)
        runner, _ = start(store, who, loop)
        await asyncio.sleep(10)
        assert runner.session.phase is Phase.OUT
        assert not store._model.leases
        who.held.close()

    run_virtual(main)


def test_notes_of_the_revision_only_grow_and_say_when_they_cannot_be_written(tmp_path):
    known = KnownCluster(tmp_path / "d" / "known")
    known.note(7)  # of a cluster not yet checked: nothing to note
    (tmp_path / "d").mkdir()
    known.check((health(revision=100),))
    known.note(200)
    known.note(150)
    assert KnownCluster(tmp_path / "d" / "known").revision == 200
    (tmp_path / "d" / "known").unlink()
    (tmp_path / "d").rmdir()
    with pytest.raises(OSError, match="known"):
        known.note(300)
    (tmp_path / "d").mkdir()
    known.note(0)  # what could not be written is written with the next note
    assert KnownCluster(tmp_path / "d" / "known").revision == 300


def test_who_stays_out_ends_its_session_and_joins_again_only_when_told(tmp_path):
    async def main(loop):
        store = Flaky(loop)
        who = me(tmp_path, loop=loop)
        with who.held:
            runner, task = start(store, who, loop)
            await phase(runner, Phase.LIVE)
            await runner.stay_out("an older copy")
            await asyncio.sleep(60)
            assert runner.session.phase is Phase.OUT
            assert runner.refused == "an older copy"
            assert await store.get(KEY, timeout_s=T) is None
            runner.come_back()
            await phase(runner, Phase.LIVE)
            assert not runner.refused
            # The store's silence ends what it can: the session is over here all the same.
            store.silent = True
            with pytest.raises(Indefinite):
                await runner.stay_out("again")
            await asyncio.sleep(30)
            store.silent = False
            await asyncio.sleep(30)
            assert runner.session.phase is Phase.OUT
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run_virtual(main)
