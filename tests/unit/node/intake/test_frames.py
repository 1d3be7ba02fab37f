import pytest

from node.intake.door import DoorState
from node.intake.errors import ChannelBrokenError
from node.intake.frames import (
    Admit,
    Appended,
    Done,
    FrameReader,
    FromCore,
    FromWorker,
    State,
    Verify,
    add_frame,
    pack,
)
from node.intake.sightings import MAX_ENTRIES, OVERFLOW, Sight, SightingBook


def test_frames_survive_any_cut():
    sent = [Admit(seq=1, client="a", recipients=2, held=0), Done(client="a", reserved=2, used=1)]
    stream = b"".join(map(pack, sent))
    for size in (1, 3, 7, len(stream)):
        reader, got = FrameReader(FromWorker), []
        for at in range(0, len(stream), size):
            got += reader.feed(stream[at : at + size])
        assert got == sent


def test_a_frame_that_cannot_be_encoded_leaves_the_others_whole():
    sent = [Admit(seq=1, client="a", recipients=2, held=0), Done(client="a", reserved=2, used=1)]
    buffer = bytearray()
    add_frame(buffer, sent[0])
    with pytest.raises(UnicodeEncodeError):
        add_frame(buffer, Admit(seq=2, client="\udcff", recipients=1, held=0))
    add_frame(buffer, sent[1])
    assert bytes(buffer) == b"".join(map(pack, sent))
    assert FrameReader(FromWorker).feed(bytes(buffer)) == sent


def test_a_frame_of_the_other_direction_is_broken():
    with pytest.raises(ChannelBrokenError):
        FrameReader(FromWorker).feed(pack(Appended(seqs=[1])))
    assert FrameReader(FromCore).feed(pack(State(state=DoorState()))) == [State(state=DoorState())]


def test_secrets_do_not_show():
    frame = Verify(seq=1, user="u", password=b"hunter2", address="1.2.3.4")
    assert "hunter2" not in repr(frame)
    broken = pack(frame)[:4] + pack(frame)[4:].replace(b"\x94" if False else pack(frame)[4:5], b"\xc1")
    with pytest.raises(ChannelBrokenError) as caught:
        FrameReader(FromWorker).feed(broken)
    assert "hunter2" not in str(caught.value)


def test_the_sighting_book_is_bounded_and_puts_the_weak_first():
    book = SightingBook()
    book.note("strong", Sight.MESSAGE, "10.0.0.1", 5)
    book.note("weak", Sight.OLD_TLS, "10.0.0.2", 7, 3)
    first, second = book.report()
    assert (first.client, first.weak, first.counts) == ("weak", True, {"old_tls": 3})
    assert not second.weak
    for n in range(MAX_ENTRIES + 10):
        book.note(f"c{n}", Sight.MESSAGE, "10.0.0.1", 5)
    assert len(book.report()) <= MAX_ENTRIES + 1
    assert any(seen.client == OVERFLOW for seen in book.report())
