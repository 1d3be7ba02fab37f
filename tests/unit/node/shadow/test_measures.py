"""What is told of a message's copy: its wait, its span in the message's trace, and what batches carried."""

import time

import pytest

from node.policy.envelope import Copies
from node.shadow.errors import NotCopied
from node.shadow.measures import NUMBERS_MAX, Measures
from node.telemetry.context import parse
from node.telemetry.relay import SAME_TRACE_FOR_S
from tests.support.copies import SHADOW
from tests.support.copies_peer import ScriptedPeer
from tests.support.copying_scene import Scene, played, until
from tests.support.heard import Heard
from tests.support.spool_mail import message

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = TRACE[:-2] + "00"


class Told(Scene):
    """Tells a telemetry that keeps it."""

    def __init__(self, *, traced=True, **more) -> None:
        self.heard = Heard()
        self.measures = Measures(self.heard, node="relay-a", traced=traced)
        super().__init__(**more)


def shadow_spans(scene):
    return [(span.attributes["relay.outcome"], span.attributes["relay.shadow"]) for span in scene.heard.spans]


def test_a_copied_message_has_a_span_inside_its_acceptance():
    async def play(scene, _loop):
        view = await scene.paired()
        name, answer = scene.take(traceparent=TRACE)
        await answer
        (span,) = scene.heard.spans
        accepted = parse(TRACE)
        assert (span.name, span.context.trace_id, span.parent_span_id) == (
            "relay.shadow", accepted.trace_id, accepted.span_id,
        )  # fmt: skip
        assert span.attributes == {
            "relay.queue_id": name, "relay.shadow": SHADOW, "relay.epoch": view.epoch, "relay.outcome": "copied",
        }  # fmt: skip
        assert 0 < span.start_ns <= span.end_ns <= time.time_ns()
        assert not span.error
        assert scene.heard.values("relay_copy_seconds") == [pytest.approx((span.end_ns - span.start_ns) / 1e9)]

    played(play, Told)


def test_batches_are_counted_with_what_they_carry():
    async def play(scene, _loop):
        await scene.paired()
        answers = [scene.take(body=b"x" * 1_000)[1] for _ in range(10)]
        for answer in answers:
            await answer
        scene.spool.change(scene.stored[0], finished=True)
        await until(lambda: scene.discarded)
        counted = {name: scene.heard.counted(f"relay_copies_{name}", node=SHADOW) for name in ("sent", "sent_bytes")}
        assert counted["sent"] == 10
        assert 10_000 < counted["sent_bytes"] < 40_000
        # The news that one is settled is a batch without a copy.
        await until(lambda: scene.heard.counted("relay_copies_sent_batches", node=SHADOW) == len(scene.peer.batches))

    played(play, Told)


def test_what_is_not_copied_in_time_is_told_as_unprotected():
    async def play(scene, _loop):
        await scene.paired()
        scene.peer.delay_s = 60
        await scene.take(traceparent=TRACE)[1]
        assert shadow_spans(scene) == [("unprotected", SHADOW)]
        assert not scene.heard.values("relay_copy_seconds")

    played(play, Told, copy_wait_s=0.1, silence_s=1.0)


def test_what_nobody_could_copy_is_told_and_what_need_not_be_is_not():
    async def play(scene, _loop):
        await scene.take(traceparent=TRACE)[1]
        await scene.take(copies=Copies.ONE, traceparent=TRACE)[1]
        assert shadow_spans(scene) == [("unprotected", "")]
        assert scene.heard.spans[0].attributes["relay.epoch"] == 0

    played(play, Told)


@pytest.mark.parametrize("there", [False, True])
def test_a_message_refused_for_want_of_a_copy_is_told_even_of_a_trace_that_is_not_recorded(there):
    async def play(scene, _loop):
        if there:
            await scene.paired()
            scene.peer.delay_s = 60
        _, answer = scene.take(copies=Copies.REQUIRED, traceparent=UNSAMPLED, client="erp")
        with pytest.raises(NotCopied):
            await answer
        assert shadow_spans(scene) == [("refused", SHADOW if there else "")]
        assert scene.heard.spans[0].error
        assert scene.heard.counted("relay_copies_refused", client="erp") == 1

    played(play, Told, copy_wait_s=0.1, silence_s=1.0)


@pytest.mark.parametrize(("trace", "traced"), [(UNSAMPLED, True), (TRACE, False), ("", True)])
def test_no_span_is_made_that_nobody_would_get(trace, traced):
    async def play(scene, _loop):
        await scene.paired()
        await scene.take(traceparent=trace)[1]
        assert not scene.heard.spans
        assert len(scene.heard.values("relay_copy_seconds")) == 1

    played(play, Told, traced=traced)


def test_a_scene_without_telemetry_works():
    async def play(scene, _loop):
        await scene.paired()
        await scene.take(traceparent=TRACE)[1]
        assert scene.copied

    played(play, Scene, peer=ScriptedPeer())


# -- takeovers


def adopted(received_ms, trace=TRACE, *before):
    heard = Heard()
    Measures(heard, node="relay-b").adopted(
        message("m", received_ms=received_ms, traceparent=trace), "relay-a", 8, time.time_ns(), *before
    )
    (span,) = heard.spans
    assert span.context.sampled, "always recorded"
    assert span.attributes == {
        "relay.queue_id": "m", "relay.node": "relay-b", "relay.from": "relay-a", "relay.epoch": 8,
    }  # fmt: skip
    return span


@pytest.mark.parametrize("trace", [TRACE, UNSAMPLED])
def test_an_early_takeover_belongs_to_the_trace_of_the_acceptance(trace):
    span, accepted = adopted(time.time_ns() // 1_000_000, trace), parse(trace)
    assert (span.context.trace_id, span.parent_span_id, span.links) == (accepted.trace_id, accepted.span_id, ())


def test_a_late_takeover_begins_a_trace_linked_to_the_acceptance():
    span, accepted = adopted(time.time_ns() // 1_000_000 - round(SAME_TRACE_FOR_S * 1000) - 1_000), parse(TRACE)
    assert span.context.trace_id != accepted.trace_id
    assert (span.parent_span_id, span.links) == (0, (accepted,))


def test_a_takeover_is_linked_to_the_attempts_made_before_it():
    tried = "00-" + "c" * 32 + "-" + "d" * 16 + "-01"
    span = adopted(time.time_ns() // 1_000_000, TRACE, tried, "", tried)
    assert (span.context.trace_id, span.links) == (parse(TRACE).trace_id, (parse(tried),))


def test_a_takeover_of_a_message_without_a_trace_stands_alone():
    span = adopted(time.time_ns() // 1_000_000, "")
    assert (span.parent_span_id, span.links) == (0, ())


# -- epochs


def test_epochs_are_known_by_number_and_bounded():
    measures = Measures()
    measures.learn({1: 7, 2: 9})
    assert [measures.epoch(number) for number in (0, 1, 2, 3)] == [0, 7, 9, 0]
    measures.learn({number: number for number in range(3, NUMBERS_MAX + 3)})
    assert [measures.epoch(number) for number in (1, 2, 3)] == [0, 0, 3]


def test_the_epoch_of_the_pairing_in_force_is_known_once_copies_go():
    async def play(scene, _loop):
        view = await scene.paired()
        assert scene.measures.epoch(1) == view.epoch > 0

    played(play, Told)
