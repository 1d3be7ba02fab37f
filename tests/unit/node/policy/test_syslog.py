"""Syslog messages: the header, what is escaped, what is cut."""

from hypothesis import given
from hypothesis import strategies as st

from node.policy.syslog import MESSAGE_MAX_BYTES, framed, message

ENTRY = {"at": "2026-11-30T10:00:00.123+00:00", "event": "queue changed", "n": 7, "hash": "cafe"}


def made(host: str = "relay-a", facility: str = "local3", **more) -> bytes:
    return message({**ENTRY, **more}, facility=facility, host=host, process_id=42)


def test_a_whole_message():
    text = made(actor="ann", role="admin", facts={"why": "Tür"}, **{"from": "socket"}).decode()
    head = "<157>1 2026-11-30T10:00:00.123+00:00 relay-a relay-node 42 audit"
    shown = '[audit@32473 n="7" hash="cafe" actor="ann" role="admin" from="socket"]'
    assert text == f'{head} {shown} \ufeffqueue changed {{"why": "Tür"}}'
    assert made(facility="authpriv").startswith(b"<85>1 ")


def test_nothing_breaks_out_of_where_it_stands():
    data = made(actor='a"] [evil\\\n<1>1', event="x\n<13>1 forged\x00", host="a b\nc")
    assert b'actor="a\\"\\] [evil\\\\\xef\xbf\xbd<1>1"' in data
    assert b"\n" not in data
    assert b"\x00" not in data
    assert b" abc relay-node " in data
    assert b" - relay-node " in made(host="\u00e4 ")


@given(st.text(max_size=9_000), st.text(max_size=300))
def test_it_is_bounded_and_whole_text(event, actor):
    data = made(event=event, actor=actor)
    assert len(data) <= MESSAGE_MAX_BYTES
    data.decode()
    size, _, rest = framed(data).partition(b" ")
    assert (int(size), rest) == (len(data), data)
