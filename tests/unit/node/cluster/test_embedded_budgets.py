"""EmbeddedBudgets: grants, slots, clients, restart and reload as delivery and intake see them."""

import time

import msgspec
import pytest

from node.cluster.budgets import EmbeddedBudgets
from node.cluster.contract import Budgets, Grant, Limits, Need, Refusal
from node.cluster.limits import BudgetLimits, ClientLimits, whole_ms
from node.cluster.rebuild import Kept, life_start_ms
from node.policy.envelope import Priority

W, H = 60_060, 60_000  # the window by our clock: one in a thousand longer (node/cluster/limits.py)
NOW = 1_800_000_000_000
DAY = 86_400_000
BOX = Limits(messages=3, window_s=60, recipients_24h=100, sessions=3)


def limits(box=BOX, **more):
    more.setdefault("accounts", {"t/a": box})
    more.setdefault("urgent_percent", 0)
    more.setdefault("urgent_day_percent", 0)
    return BudgetLimits(**more)


def make(box=BOX, on_free=lambda _: None, started_ms=NOW, **more) -> EmbeddedBudgets:
    return EmbeddedBudgets(limits(box, **more), started_ms=started_ms, on_free=on_free)


def need(recipients=1, account="t/a", **more):
    return Need(account=account, recipients=recipients, **more)


def granted(answer) -> Grant:
    assert isinstance(answer, Grant), answer
    return answer


def refused(answer) -> tuple[str, int]:
    assert isinstance(answer, Refusal), answer
    return answer.reason, answer.retry_ms


class Start(msgspec.Struct):
    started_ms: int
    account: str = "t/a"
    tenant: str = "t"
    external: int = 0
    grant_id: str = ""


class Past(msgspec.Struct):
    start: Start
    finished_ms: int = 0
    recipients: int = 1


def test_it_is_what_the_contract_asks_for():
    budgets: Budgets = make()
    assert granted(budgets.try_grant(need(), NOW)).taken_ms == NOW


def test_a_permit_comes_back_a_window_after_the_final_reply():
    budgets = make()
    grants = [granted(budgets.try_grant(need(), NOW)) for _ in range(3)]
    assert refused(budgets.try_grant(need(), NOW)) == ("no_permit", NOW + W + 1)
    budgets.settled(grants[0], NOW + 600)
    assert refused(budgets.try_grant(need(), NOW + 600)) == ("no_permit", NOW + 600 + W + 1)
    assert refused(budgets.try_grant(need(), NOW + 600 + W))[0] == "no_permit"
    granted(budgets.try_grant(need(), NOW + 600 + W + 1))


def test_a_cancelled_grant_returns_everything_at_once_and_wakes():
    woken = []
    budgets = make(on_free=woken.append, tenants={"t": 10})
    grant = granted(budgets.try_grant(need(10, tenant="t", external=10), NOW))
    budgets.cancelled(grant, NOW)
    budgets.cancelled(grant, NOW)
    assert woken == ["t/a"]
    assert [line.used for line in budgets.use(NOW)] == [0, 0, 0, 0]


def test_a_vanished_conversation_keeps_its_permit_for_the_settle_time():
    budgets = make(Limits(messages=1, window_s=60, recipients_24h=0, sessions=0))
    budgets.settled(granted(budgets.try_grant(need(), NOW)), NOW + 5, vanished=True)
    assert refused(budgets.try_grant(need(), NOW + 10)) == ("no_permit", NOW + 5 + H + W + 1)


def test_settling_twice_changes_nothing():
    budgets = make()
    grant = granted(budgets.try_grant(need(), NOW))
    budgets.settled(grant, NOW)
    budgets.settled(grant, NOW)
    budgets.cancelled(grant, NOW)
    assert [line.used for line in budgets.use(NOW)] == [1, 1, 0]


def test_day_room_is_reserved_and_the_unused_part_comes_back():
    woken = []
    budgets = make(on_free=woken.append)
    grant = granted(budgets.try_grant(need(100), NOW))
    reason, retry = refused(budgets.try_grant(need(), NOW))
    assert reason == "day_budget"
    assert retry > NOW
    budgets.settled(grant, NOW, recipients_used=60)
    assert woken == ["t/a"]
    granted(budgets.try_grant(need(40), NOW))
    assert refused(budgets.try_grant(need(1), NOW))[0] == "day_budget"


def test_the_external_limit_is_shared_by_accounts_and_counts_only_external_mail():
    budgets = make(accounts={"t/a": BOX, "t/b": BOX}, tenants={"t": 10})
    granted(budgets.try_grant(need(9, tenant="t", external=9), NOW))
    reason, retry = refused(budgets.try_grant(need(2, account="t/b", tenant="t", external=2), NOW))
    assert (reason, retry > NOW) == ("tenant_budget", True)
    granted(budgets.try_grant(need(2, account="t/b", tenant="t", external=1), NOW))
    granted(budgets.try_grant(need(2, account="t/b", tenant="t", external=0), NOW))
    assert [line.used for line in budgets.use(NOW) if line.kind == "permits"] == [1, 2]


def test_a_refusal_takes_nothing():
    budgets = make(tenants={"t": 1})
    before = budgets.use(NOW)
    refused(budgets.try_grant(need(101), NOW))
    refused(budgets.try_grant(need(2, tenant="t", external=2), NOW))
    assert budgets.use(NOW) == before


def test_urgent_mail_has_a_fixed_share_of_the_day():
    budgets = make(urgent_day_percent=10, tenants={"t": 100})
    granted(budgets.try_grant(need(90, tenant="t", external=90), NOW))
    assert refused(budgets.try_grant(need(1), NOW))[0] == "day_budget"
    granted(budgets.try_grant(need(10, tenant="t", external=10, priority=Priority.URGENT), NOW))


def test_no_limit_is_no_limit():
    budgets = make(Limits(messages=0, window_s=0, recipients_24h=0, sessions=0), tenants={"t": 0})
    grants = [granted(budgets.try_grant(need(500, tenant="t", external=500), NOW)) for _ in range(500)]
    leases = [budgets.try_slot("t/a", NOW) for _ in range(50)]
    for grant in grants:
        budgets.settled(grant, NOW)
    assert None not in leases
    assert budgets.use(NOW) == []
    assert budgets.next_free_ms("t/a", NOW) == NOW


def test_an_account_nobody_configured_gets_nothing():
    budgets = make()
    assert refused(budgets.try_grant(need(account="t/x"), NOW)) == ("unknown_account", NOW + 60_000)
    assert budgets.try_slot("t/x", NOW) is None
    assert budgets.next_free_ms("t/x", NOW) > NOW


def test_slots_two_of_three_and_a_lease_counts_once():
    woken = []
    budgets = make(on_free=woken.append)
    first, second = budgets.try_slot("t/a", NOW), budgets.try_slot("t/a", NOW)
    assert budgets.try_slot("t/a", NOW) is None
    budgets.give_back(first, NOW)
    again = budgets.try_slot("t/a", NOW)
    budgets.give_back(first, NOW)
    assert again.index == first.index
    assert budgets.try_slot("t/a", NOW) is None
    assert woken == ["t/a"]
    budgets.give_back(second, NOW, linger=True)
    budgets.give_back(again, NOW, linger=True)
    assert budgets.try_slot("t/a", NOW) is not None
    assert budgets.try_slot("t/a", NOW) is None
    assert budgets.next_free_ms("t/a", NOW) == NOW + 360_000


def test_next_free_tells_when_to_ask_again():
    budgets = make()
    assert budgets.next_free_ms("t/a", NOW) == NOW
    for _ in range(3):
        budgets.settled(granted(budgets.try_grant(need(), NOW)), NOW)
    assert budgets.next_free_ms("t/a", NOW) == NOW + W + 1


def test_clients_are_held_to_rate_and_recipients():
    budgets = make(clients={"app": ClientLimits(messages=2, recipients=10)})
    assert budgets.admit_client("other", 1000, NOW) is None
    budgets.client_done("other", 1000, 1000, NOW)
    assert budgets.admit_client("app", 4, NOW) is None
    assert budgets.admit_recipients("app", 4, NOW) is None
    assert budgets.admit_recipients("app", 4, NOW).reason == "recipients"
    budgets.client_done("app", 8, 6, NOW)
    assert budgets.admit_client("app", 5, NOW).reason == "recipients"
    assert budgets.admit_client("app", 4, NOW) is None
    assert refused(budgets.admit_client("app", 0, NOW))[0] == "rate"
    budgets.client_done("app", 4, 0, NOW)
    assert budgets.admit_client("app", 4, NOW) is None
    budgets.client_done("app", 4, 4, NOW)
    assert refused(budgets.admit_client("app", 0, NOW)) == ("rate", NOW + 30_000)
    assert [(line.limit, line.used) for line in budgets.use(NOW) if line.kind == "client"] == [(2, 2), (10, 10)]


def test_grant_ids_are_unique_across_restarts_and_tell_their_life():
    lives = [make(started_ms=NOW) for _ in range(3)]
    ids = [granted(life.try_grant(need(), NOW)).id for life in lives for _ in range(3)]
    assert len(set(ids)) == 9
    assert {life_start_ms(grant_id) for grant_id in ids} == {NOW}
    assert [life_start_ms(other) for other in ("", "zz-1", "0190-aa")] == [0, 0, 0x190]


# -- restart


def test_finished_attempts_keep_their_permits_for_a_window():
    budgets = make()
    budgets.rebuild([Past(Start(NOW - 5_000), finished_ms=NOW - k) for k in (1, 2, W + 2)], NOW)
    granted(budgets.try_grant(need(), NOW))
    assert refused(budgets.try_grant(need(), NOW)) == ("no_permit", NOW - 2 + W + 1)


def test_a_crash_frees_no_sooner_than_is_safe():
    budgets = make(Limits(messages=1, window_s=60, recipients_24h=0, sessions=0))
    budgets.rebuild([Past(Start(NOW - 700_000))], NOW)
    assert refused(budgets.try_grant(need(), NOW)) == ("no_permit", NOW + H + W + 1)


def test_an_attempt_cut_by_an_earlier_crash_ended_before_the_life_after_it():
    def life(start):
        return f"{start:011x}-aaaa-1"

    budgets = make(Limits(messages=2, window_s=60, recipients_24h=0, sessions=0))
    cut = Past(Start(NOW - 500_000, grant_id=life(NOW - 600_000)))
    later = Past(Start(NOW - 90_000, grant_id=life(NOW - 100_000)), finished_ms=NOW - 80_000)
    budgets.rebuild([cut, later], NOW)
    assert refused_after(budgets, 1) == ("no_permit", NOW - 100_000 + H + W + 1)


def test_a_second_crash_soon_after_the_first_frees_no_sooner_and_counts_nothing_twice():
    first, second = NOW, NOW + 20_000
    before = make()
    before.rebuild([Past(Start(NOW - 5_000, grant_id=f"{NOW - 9_000:011x}-aaaa-1"), recipients=40)], first)
    kept = before.snapshot(first + 10_000)
    budgets = make(started_ms=second)
    past = [
        Past(Start(NOW - 5_000, grant_id=f"{NOW - 9_000:011x}-aaaa-1"), finished_ms=first + H, recipients=40),
        Past(Start(NOW + 2_000, grant_id=f"{first:011x}-bbbb-1"), finished_ms=first + 3_000),
    ]
    budgets.rebuild(past, second, kept=kept)
    assert {line.kind: line.used for line in budgets.use(second)}["day"] == 40
    granted(budgets.try_grant(need(), second))
    assert refused(budgets.try_grant(need(), second)) == ("no_permit", first + 3_000 + W + 1)
    granted(budgets.try_grant(need(), first + 3_000 + W + 1))
    assert refused(budgets.try_grant(need(), first + H)) == ("no_permit", first + H + W + 1)


def refused_after(budgets, grants):
    for _ in range(grants):
        granted(budgets.try_grant(need(), NOW))
    return refused(budgets.try_grant(need(), NOW))


def test_day_counters_come_back_from_the_attempts():
    budgets = make(tenants={"t": 50})
    past = [
        Past(Start(NOW - 3_600_000, external=20), finished_ms=NOW - 3_600_000, recipients=30),
        Past(Start(NOW - 30_000, external=10), recipients=10),
        Past(Start(NOW - 25 * 3_600_000, external=40), finished_ms=NOW - 25 * 3_600_000, recipients=40),
    ]
    budgets.rebuild(past, NOW)
    assert {line.kind: line.used for line in budgets.use(NOW)}["day"] == 40
    assert {line.kind: line.used for line in budgets.use(NOW)}["external"] == 30


def test_kept_counters_and_later_attempts_add_up_and_earlier_ones_are_not_counted_twice():
    before = make(tenants={"t": 50}, clients={"app": ClientLimits(recipients=10)})
    budgets = make(tenants={"t": 50}, clients={"app": ClientLimits(recipients=10)})
    grant = granted(before.try_grant(need(30, tenant="t", external=20), NOW))
    before.settled(grant, NOW + 100)
    before.admit_client("app", 7, NOW)
    before.client_done("app", 7, 7, NOW)
    kept = msgspec.json.decode(msgspec.json.encode(before.snapshot(NOW + 200)), type=Kept)
    past = [
        Past(Start(NOW, external=20), finished_ms=NOW + 100, recipients=30),
        Past(Start(NOW + 150, external=2), finished_ms=NOW + 300, recipients=3),
    ]
    budgets.rebuild(past, NOW + 400, kept=kept)
    used = {line.kind: line.used for line in budgets.use(NOW + 400)}
    assert (used["day"], used["external"], used["client"]) == (33, 22, 7)


def test_kept_counters_alone_are_enough_where_the_history_is_gone():
    before = make()
    before.settled(granted(before.try_grant(need(30), NOW)), NOW)
    granted(before.try_grant(need(5), NOW))
    budgets = make()
    budgets.rebuild([], NOW + 1, kept=before.snapshot(NOW))
    assert {line.kind: line.used for line in budgets.use(NOW + 1)}["day"] == 35


def test_sessions_of_a_vanished_host_linger_and_those_of_a_dead_process_do_not():
    past = [Past(Start(NOW - 30_000), finished_ms=NOW - 20_000)]
    vanished, process = make(), make()
    vanished.rebuild(past, NOW)
    process.rebuild(past, NOW, host_since_ms=NOW - 3_600_000)
    assert [vanished.try_slot("t/a", NOW) is None for _ in range(3)] == [False, True, True]
    assert [process.try_slot("t/a", NOW) is None for _ in range(3)] == [False, False, True]
    assert vanished.try_slot("t/a", NOW + 360_000) is not None


def test_a_process_that_dies_soon_after_its_host_came_up_does_not_forget_what_lingers():
    past = [Past(Start(NOW - 300_000), finished_ms=NOW - 290_000)]
    budgets = make()
    budgets.rebuild(past, NOW, host_since_ms=NOW - 200_000)
    assert [budgets.try_slot("t/a", NOW) is None for _ in range(2)] == [False, True]
    assert budgets.try_slot("t/a", NOW - 290_000 + 60_000 + 360_000) is not None


def test_sessions_that_lingered_before_a_restart_still_do():
    before, after = make(), make()
    for _ in range(2):
        before.give_back(before.try_slot("t/a", NOW), NOW, linger=True)
    after.rebuild([], NOW + 1, kept=before.snapshot(NOW + 1), host_since_ms=0)
    assert [after.try_slot("t/a", NOW + 1) is None for _ in range(2)] == [False, True]


def test_sessions_idle_long_before_a_restart_do_not_linger():
    budgets = make()
    budgets.rebuild([Past(Start(NOW - 500_000), finished_ms=NOW - 430_000)], NOW)
    assert [budgets.try_slot("t/a", NOW) is None for _ in range(2)] == [False, False]


# -- reload


def test_lowering_takes_effect_without_forgetting_what_is_out():
    woken = []
    budgets = make(on_free=woken.append)
    for _ in range(2):
        budgets.settled(granted(budgets.try_grant(need(), NOW)), NOW)
    budgets.reload(limits(Limits(messages=2, window_s=60, recipients_24h=2, sessions=2)), NOW)
    assert woken == ["t/a"]
    assert refused(budgets.try_grant(need(0), NOW)) == ("no_permit", NOW + W + 1)
    assert refused(budgets.try_grant(need(1), NOW + 2 * W))[0] == "day_budget"
    assert budgets.try_slot("t/a", NOW) is not None
    assert budgets.try_slot("t/a", NOW) is None


def test_an_account_taken_away_and_brought_back_has_forgotten_nothing():
    budgets = make(tenants={"t": 50}, clients={"app": ClientLimits(messages=1)})
    grant = granted(budgets.try_grant(need(40, tenant="t", external=40), NOW))
    lease = budgets.try_slot("t/a", NOW)
    budgets.admit_client("app", 1, NOW)
    empty = BudgetLimits(accounts={})
    budgets.reload(empty, NOW)
    assert refused(budgets.try_grant(need(), NOW))[0] == "unknown_account"
    budgets.settled(grant, NOW)
    budgets.give_back(lease, NOW)
    budgets.client_done("app", 1, 1, NOW)
    budgets.reload(limits(tenants={"t": 50}, clients={"app": ClientLimits(messages=1)}), NOW + 1)
    used = {line.kind: line.used for line in budgets.use(NOW + 1)}
    assert (used["permits"], used["day"], used["external"], used["slots"]) == (1, 40, 40, 0)
    budgets.reload(empty, NOW + 3 * DAY)
    assert (budgets._accounts, budgets._tenants, budgets._desk.counters()) == ({}, {}, {})


def test_a_client_changed_while_its_message_comes_in():
    budgets = make()
    assert budgets.admit_client("app", 5, NOW) is None
    budgets.reload(limits(clients={"app": ClientLimits(messages=1, recipients=4)}), NOW)
    budgets.client_done("app", 5, 5, NOW)
    assert budgets.admit_client("app", 4, NOW) is None
    budgets.reload(limits(clients={"app": ClientLimits(messages=5, recipients=8)}), NOW)
    assert budgets.admit_client("app", 5, NOW).reason == "recipients"
    budgets.client_done("app", 4, 4, NOW)
    assert {line.limit: line.used for line in budgets.use(NOW) if line.kind == "client"} == {5: 1, 8: 4}


def test_use_tells_when_a_day_limit_will_be_used_up():
    budgets = make(Limits(messages=0, window_s=60, recipients_24h=100, sessions=0))
    for quarter in range(4):
        at = NOW + quarter * 900_000
        budgets.settled(granted(budgets.try_grant(need(15), at)), at)
    now = NOW + 3_600_000
    (line,) = budgets.use(now)
    assert now < line.exhausted_ms < now + 3_600_000
    assert line.retry_ms == 0


@pytest.mark.parametrize(("seconds", "ms"), [(60, 60_000), (0.0005, 1), (1.9999, 2000), (0, 0)])
def test_windows_are_never_cut_short(seconds, ms):
    assert whole_ms(seconds) == ms


def test_nothing_is_kept_of_settled_grants():
    """Also prints what a grant costs (goal 20 us); time decides nothing here."""
    budgets = make(Limits(messages=5_000, window_s=60, recipients_24h=10_000_000, sessions=3), tenants={"t": 10**9})
    wanted = need(1, tenant="t", external=1)
    began = time.perf_counter()
    for k in range(2_000):
        budgets.settled(granted(budgets.try_grant(wanted, NOW + k)), NOW + k)
    spent_us = (time.perf_counter() - began) / 2_000 * 1e6
    print(f"grant and settle: {spent_us:.1f} us")
    assert len(budgets._open) == 0
