"""Limits of an account: what is over, what is refused, what the statistics say."""

from node.rehearsal.simulator.directory import Limits
from node.rehearsal.simulator.meters import AccountMeter, TenantMeter
from node.settings.units import Rate

DAY_S = 86_400.0


def account(**limits):
    return AccountMeter(Limits(**limits), TenantMeter(5, DAY_S))


def test_thirty_messages_fit_and_the_next_does_not():
    meter = account()
    for n in range(30):
        submission = meter.begin(float(n))
        assert submission.gated
        meter.end(submission, n + 0.5, 1, 0)
    late = meter.begin(59.9)
    assert not late.gated
    meter.end(late, 59.95, 0, 0)
    report = meter.report(60.0)
    assert report["worst_window"] == 31
    assert report["violations"]["rate"] == 1


def test_a_transaction_that_never_reached_data_is_not_counted():
    meter = account()
    for n in range(100):
        meter.cancel(meter.begin(float(n)))
    assert meter.report(100.0)["worst_window"] == 0


def test_the_youngest_sessions_are_surplus():
    meter = account()
    for session in (1, 2, 3, 4):
        meter.enter(session)
    assert [meter.surplus(session) for session in (1, 2, 3, 4)] == [False, False, False, True]
    assert meter.report(0.0)["violations"]["sessions"] == 1
    meter.leave(1)
    assert not meter.surplus(4)
    assert meter.sessions_peak == 4


def test_recipients_slide_over_a_day():
    meter = account(recipients=Rate(10, DAY_S))
    submission = meter.begin(0.0)
    meter.end(submission, 1.0, 8, 0)
    assert meter.recipients_fit(2.0, 2)
    assert not meter.recipients_fit(2.0, 3)
    assert meter.recipients_fit(DAY_S + 1.0, 3)
    again = meter.begin(5.0)
    meter.end(again, 6.0, 3, 0)
    assert meter.report(7.0)["recipients_worst_window"] == 11
    assert meter.report(7.0)["violations"]["recipients"] == 1


def test_external_recipients_belong_to_the_tenant():
    tenant = TenantMeter(5, DAY_S)
    first, second = AccountMeter(Limits(), tenant), AccountMeter(Limits(), tenant)
    first.end(first.begin(0.0), 1.0, 4, 4)
    assert second.external_fit(2.0, 1)
    assert not second.external_fit(2.0, 2)
    second.end(second.begin(2.0), 3.0, 3, 3)
    assert tenant.report(4.0)["violations"]["external_recipients"] == 1


def test_continuous_errors_throttle_for_a_while():
    meter = account(error_throttle=3, error_throttle_for=100.0)
    for n in range(3):
        assert meter.throttled(float(n)) is None
        meter.blame("send_as", float(n))
    assert meter.throttled(3.0) == "send_as"
    assert meter.throttled(102.0) is None


def test_delayed_messages_wait_for_their_turn():
    meter = account(rate=Rate(1, 60.0))
    first, second = meter.begin(0.0), meter.begin(1.0)
    meter.end(first, 2.0, 1, 0)
    assert meter.wait_s(second, 10.0) == 52.0
    assert meter.wait_s(second, 62.0) == 0.0
    assert second.gated
