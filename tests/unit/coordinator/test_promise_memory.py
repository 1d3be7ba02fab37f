"""Promises outlive the process that gave them, or its successor counts as young (coordination-review §5)."""

import pytest

from coordinator.promise_memory import AHEAD_MS, Promise, PromiseMemory


def test_a_memory_is_whole_only_after_it_was_begun_and_within_one_boot(tmp_path):
    path = tmp_path / "promises"
    first = PromiseMemory(path, "boot-1")
    assert not first.whole
    first.keep("smtp", "a", 5_000)
    assert not PromiseMemory(path, "boot-1").whole, "died before it had outlived what came before it"
    first.begin()
    first.keep("other", "b", 6_000)
    second = PromiseMemory(path, "boot-1")
    assert second.whole
    assert second.promises == {
        "smtp": Promise(to="a", until_ms=5_000 + AHEAD_MS),
        "other": Promise(to="b", until_ms=6_000 + AHEAD_MS),
    }
    third = PromiseMemory(path, "boot-2")
    assert not third.whole
    assert not third.promises


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b'{"boot_id": "boot-1", "promises": 3}'])
def test_garbage_is_no_memory(tmp_path, content):
    (tmp_path / "promises").write_bytes(content)
    assert not PromiseMemory(tmp_path / "promises", "boot-1").whole


def test_what_cannot_be_written_is_told(tmp_path):
    memory = PromiseMemory(tmp_path / "promises", "boot-1")
    memory.begin()
    (tmp_path / "promises.new").mkdir()
    with pytest.raises(IsADirectoryError):
        memory.keep("smtp", "a", 1)


def test_a_promise_renewed_often_is_written_seldom_and_never_late(tmp_path):
    path = tmp_path / "promises"
    memory, written = PromiseMemory(path, "boot-1"), 0
    memory.begin()
    for until_ms in range(5_000, 15_000, 200):
        before = path.stat().st_ino
        memory.keep("smtp", "a", until_ms)
        written += path.stat().st_ino != before
        assert PromiseMemory(path, "boot-1").promises["smtp"].until_ms >= until_ms
    assert written <= 4
    memory.keep("smtp", "b", 1)
    assert PromiseMemory(path, "boot-1").promises["smtp"].to == "b"
