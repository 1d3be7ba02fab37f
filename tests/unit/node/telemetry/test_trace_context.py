import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.telemetry import context

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_valid_traceparent_is_read_and_continued():
    parsed = context.parse(GOOD)
    assert parsed is not None
    assert parsed.sampled
    begun = context.begin(GOOD)
    assert begun.trace_id == parsed.trace_id
    assert begun.span_id != parsed.span_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rubbish",
        GOOD.upper(),
        GOOD + "-extra",
        GOOD.replace("00-", "ff-", 1),
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        GOOD + "\r\nX: y",
    ],
)
def test_an_invalid_traceparent_begins_a_new_trace(text):
    assert context.parse(text) is None
    assert context.begin(text).trace_id


def test_a_future_version_may_carry_more():
    assert context.parse(GOOD.replace("00-", "01-", 1) + "-more") is not None


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_rendering_and_reading_agree(trace_id, span_id, sampled):
    value = context.TraceContext(trace_id=trace_id, span_id=span_id, sampled=sampled)
    assert context.parse(context.render(value)) == value


def test_sampling_nothing_marks_new_traces_unsampled_but_keeps_the_callers_choice():
    assert not context.begin(sample=0.0).sampled
    assert context.begin(GOOD, sample=0.0).sampled


def test_a_child_stays_in_the_trace():
    parent = context.begin()
    child = context.child(parent)
    assert child.trace_id == parent.trace_id
    assert child.span_id != parent.span_id
