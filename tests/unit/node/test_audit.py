"""The audit's files: chained over restarts and new files, whole after a crash, bounded."""

import stat

import pytest

from node import audit
from node.audit import Audit, files_in, lines_of
from node.policy.chain import first_fault


def write(directory, *events: str) -> None:
    book = Audit(directory, "relay-a")
    for event in events:
        book.write({"actor": "alice", "event": event, "facts": {"why": "\udcff"}})


def test_the_chain_goes_on_after_a_restart_and_only_its_owner_may_read_it(tmp_path):
    write(tmp_path / "a", "one", "two")
    write(tmp_path / "a", "three")
    [file] = files_in(tmp_path / "a")
    assert first_fault(lines_of([file])) == ""
    assert len(file.read_text().splitlines()) == 3
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


def test_files_are_bounded_and_their_rest_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "FILE_BYTES", 2_000)
    monkeypatch.setattr(audit, "FILES", 3)
    for number in range(10):
        write(tmp_path, *(f"{number} {each}" for each in range(7)))
    files = files_in(tmp_path)
    assert len(files) == 3
    assert first_fault(lines_of(files)) == ""
    assert '"n": 70,' in files[-1].read_text().splitlines()[-1]


@pytest.mark.parametrize("left", [1, 40, 200])
def test_a_torn_entry_is_taken_out_and_said(tmp_path, left):
    write(tmp_path, "one", "two", "three")
    [file] = files_in(tmp_path)
    text = file.read_bytes()
    last = text.rstrip(b"\n").rpartition(b"\n")[2]
    file.write_bytes(text[: -len(last) - 1] + last[:left])
    write(tmp_path, "four")
    assert first_fault(lines_of(files_in(tmp_path))) == ""
    events = [line for _, line in lines_of(files_in(tmp_path))]
    assert len(events) == 4
    assert "torn" in events[2]
    assert f'"bytes": {left}' in events[2]


def test_a_file_that_is_not_ours_is_left_and_found_out(tmp_path):
    write(tmp_path, "one")
    [file] = files_in(tmp_path)
    file.write_text("something else\n")
    write(tmp_path, "two")
    assert file.read_text() == "something else\n"
    assert first_fault(lines_of(files_in(tmp_path))).startswith(f"{file.name}:1: not an entry")
