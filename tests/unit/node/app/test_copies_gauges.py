"""Gauges of second copies: what is gone is shown as 0, moves are counted once."""

from collections import Counter

from coordinator.ownership.views import State
from node.app.gauges import CopiesGauges
from node.shadow.contract import Held
from tests.support.copies import attached, view
from tests.support.heard import Heard


def held(node: str, messages: int, epoch: int = 7) -> Held:
    return Held(attached=attached(epoch), node=node, messages=messages, size_bytes=messages * 100)


def test_what_is_kept_is_summed_by_node_and_shown_as_nothing_when_it_is_gone():
    heard = Heard()
    gauges = CopiesGauges(heard)
    gauges.kept([held("relay-a", 2), held("relay-a", 3, 8), held("relay-c", 1)])
    assert heard.gauged("relay_copies_kept", node="relay-a") == 5
    assert heard.gauged("relay_copies_kept_bytes", node="relay-a") == 500
    gauges.kept([held("relay-c", 1)])
    assert heard.gauged("relay_copies_kept", node="relay-a") == 0
    assert heard.gauged("relay_copies_kept_bytes", node="relay-a") == 0
    assert heard.gauged("relay_copies_kept", node="relay-c") == 1


def test_every_state_of_pairings_is_shown_and_moves_are_counted_once():
    heard, made = Heard(), Counter({"claim": 2})
    gauges = CopiesGauges(heard)
    found = view()
    gauges.ownership([found, found], made, quarantined=True)
    assert heard.gauged("relay_pairings", state=found.state.value) == 2
    assert heard.gauged("relay_quarantined") == 1
    made["claim"], made["adopt"] = 3, 1
    for _ in range(2):
        gauges.ownership([], made, quarantined=False)
    assert heard.gauged("relay_pairings", state=found.state.value) == 0
    assert heard.gauged("relay_pairings", state=State.STRANGE.value) == 0
    assert heard.gauged("relay_quarantined") == 0
    assert heard.counted("relay_ownership_moves", move="claim") == 3
    assert heard.counted("relay_ownership_moves", move="adopt") == 1
