"""The worst window against a slow, obvious twin: try every set of messages that could be counted together."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from node.rehearsal.simulator.windows import Gate, WindowMeter

WINDOW_S = 10.0


def fits_one_window(items):
    """Can all be counted within less than one window? Choose moments as close together as the intervals allow."""
    latest_start = max(start for start, _, _ in items)
    earliest_end = min(end for _, end, _ in items)
    return latest_start - earliest_end < WINDOW_S


def brute_force(items):
    """Greatest weight of any set of intervals that fits one half-open window."""
    sets = (chosen for size in range(1, len(items) + 1) for chosen in combinations(items, size))
    return max((sum(weight for _, _, weight in one) for one in sets if fits_one_window(one)), default=0)


# Each operation happens at a time not before the last: open, or close/cancel one of the open ones.
operations = st.lists(
    st.tuples(
        st.integers(0, 6), st.sampled_from(["open", "open", "close", "cancel"]), st.integers(0, 5), st.integers(1, 3)
    ),
    max_size=16,
)


@given(operations)
def test_streaming_meter_equals_brute_force(steps):
    meter, now, open_items, counted = WindowMeter(WINDOW_S, None), 0, [], []
    for gap, what, index, weight in steps:
        now += gap
        if what == "open":
            if len(counted) + len(open_items) < 10:
                open_items.append((meter.begin(now), now))
        elif open_items:
            handle, start = open_items.pop(index % len(open_items))
            if what == "close":
                meter.end(handle, now, weight)
                counted.append((start, now, weight))
            else:
                meter.cancel(handle)
    still_open = [(start, now, 1) for _, start in open_items]
    assert meter.report(now).worst == brute_force(counted + still_open)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 8)), min_size=1, max_size=40), st.integers(1, 4))
def test_holding_a_token_until_a_window_after_the_reply_never_exceeds(demand, tokens):
    """The sender's rule of design §7: the worst window is then at most the number of tokens, and is reached."""
    meter = WindowMeter(WINDOW_S, tokens)
    free_at = [0.0] * tokens
    plan = []
    now = 0.0
    for gap, takes in demand:
        free_at.sort()
        now = max(now + gap, free_at[0])
        free_at[0] = now + takes + WINDOW_S
        plan.append((now, now + takes))
    moments = sorted(
        [(start, 1, n) for n, (start, _) in enumerate(plan)] + [(end, 2, n) for n, (_, end) in enumerate(plan)]
    )
    handles = {}
    for at, kind, n in moments:
        if kind == 1:
            handles[n] = meter.begin(at)
        else:
            meter.end(handles[n], at)
    report = meter.report(moments[-1][0])
    assert report.worst <= tokens
    assert report.over == 0


def test_spacing_starts_lets_more_through():
    """Starts 2 s apart (30/min) with replies that take 20 s: 40 could be counted in one minute."""
    meter = WindowMeter(60.0, 30)
    events = sorted([(n * 2.0, "open", n) for n in range(100)] + [(n * 2.0 + 20.0, "close", n) for n in range(100)])
    handles = {}
    for at, what, n in events:
        if what == "open":
            handles[n] = meter.begin(at)
        else:
            meter.end(handles[n], at)
    report = meter.report(300.0)
    assert report.worst == 40
    assert report.over == 100 - 30


def test_gate_lets_in_what_the_meter_allows():
    gate = Gate(60.0, 2)
    assert gate.fits(0.0)
    gate.take()
    gate.take()
    assert not gate.fits(1.0)
    gate.settle(5.0)
    assert not gate.fits(64.9)
    assert gate.wait_s(10.0) == 55.0
    assert gate.fits(65.0)
    gate.give_back()
    assert gate.fits(65.0, 2)
