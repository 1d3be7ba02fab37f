"""A journey drawn: which stretch lasted how long, at which node; and the flow's numbers."""

from node.admin.everywhere import Found
from node.console.flow import Flow
from node.console.waterfall import ROWS_MAX, WHOLE, waterfall
from node.spool.contract import JourneyLine
from tests.support.spool_mail import T0, message


def found(*steps: tuple[str, int, dict], node: str = "relay-b") -> Found:
    lines = tuple(JourneyLine(at_ms=T0 + after, event=event, detail=detail) for event, after, detail in steps)
    return Found(message=message(), recipients=(), lines=lines, node=node)


def test_stretches_end_where_the_next_begins_and_lie_at_the_node_of_their_time():
    fall = waterfall(
        found(
            ("accepted", 0, {}), ("claimed", 1_000, {}), ("deferred", 2_000, {}),
            ("adopted", 6_000, {"from": "relay-a"}),
            ("claimed", 9_000, {}), ("delivered", 10_000, {}),
        ),
        0,
    )  # fmt: skip
    assert [(bar.kind, bar.x, bar.width, bar.lasted_ms, bar.node) for bar in fall.bars] == [
        ("waits", 0, 100, 1_000, "relay-a"),
        ("attempt", 100, 100, 1_000, "relay-a"),
        ("waits", 200, 400, 4_000, "relay-a"),
        ("waits", 600, 300, 3_000, "relay-b"),
        ("attempt", 900, 100, 1_000, "relay-b"),
        ("done", WHOLE - 4, 4, 0, "relay-b"),
    ]
    assert (fall.nodes, fall.lasted_ms) == (("relay-a", "relay-b"), 10_000)


def test_mail_that_waits_is_drawn_until_now_and_a_long_journey_is_cut():
    fall = waterfall(found(("accepted", 0, {}), ("held", 500, {})), T0 + 1_000)
    assert [(bar.kind, bar.lasted_ms) for bar in fall.bars] == [("waits", 500), ("held", 500)]
    many = waterfall(found(*(("deferred", at, {}) for at in range(ROWS_MAX + 7))), 0)
    assert (len(many.bars), many.left_out) == (ROWS_MAX, 7)
    assert waterfall(found(), 0).bars == ()


def test_rates_come_from_two_looks_and_never_fall_below_nought():
    flow = Flow()
    text = 'relay_messages_accepted_total{{node="a"}} {0}\nrelay_messages_accepted_total{{node="b"}} 1.0\n'
    flow.take(text.format(9), 1_000)
    assert not flow.due(1_500)
    flow.take(text.format(29), 3_000)
    assert (flow.totals["accepted"], flow.rates()["accepted"]) == (30, 10)
    flow.take(text.format(0), 5_000)
    assert flow.series()["accepted"] == [10, 0]
