"""Promises outlive the process that gave them, or its successor counts as young (coordination-review §5)."""

import pytest

from coordinator.promise_memory import Promise, PromiseMemory


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
    assert second.promises == {"smtp": Promise(to="a", until_ms=5_000), "other": Promise(to="b", until_ms=6_000)}
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
