"""Wishes seen before stay seen over a restart of a coordinator: an older one put back is ignored."""

import msgspec

from coordinator.daemon.everybody import Everybody
from coordinator.feed import Feed
from coordinator.floors import read_floors, write_floors
from coordinator.keys import Keys
from coordinator.store.contract import Change, Item, Seen
from coordinator.store.memory import MemoryStore
from coordinator.wishes import Kind, Wish, suffix_of
from tests.support.wishes import CLUSTER, wish

KEYS = Keys(cluster=CLUSTER)


def trusting(key: str, value: bytes) -> Wish:
    return msgspec.json.decode(value, type=Wish)


def told(everybody, wanted, revision):
    key = KEYS.control(suffix_of(wanted.kind, wanted.what))
    item = Item(key=key, value=msgspec.json.encode(wanted), create_revision=1, mod_revision=revision)
    change = Change(key=key, item=item, revision=revision)
    everybody.feed(Seen(changes=(change,), revision=revision))


def test_a_restarted_coordinator_ignores_a_wish_older_than_one_it_saw(tmp_path):
    file = tmp_path / "state" / "wishes.json"

    def coordinator():
        return Everybody(Feed(MemoryStore(), KEYS), KEYS, trusting, file)

    first = coordinator()
    told(first, wish(Kind.PAUSE, sequence=8, on=False, until_ms=0), 5)
    again = coordinator()
    told(again, wish(Kind.PAUSE, sequence=7), 6)
    found = again.wishes.get(Kind.PAUSE)
    assert found is None or found.sequence != 7
    told(again, wish(Kind.PAUSE, sequence=9), 7)
    assert again.wishes.get(Kind.PAUSE).sequence == 9


def test_a_file_that_cannot_be_read_or_written_is_said_and_stops_nothing(tmp_path, caplog):
    file = tmp_path / "wishes.json"
    file.write_bytes(b"\xff{")
    assert read_floors(file) == {}
    write_floors(tmp_path / "wishes.json" / "below", {"pause": 1})
    assert "cannot be read" in caplog.text
    assert "cannot be written" in caplog.text
