"""Every target for a moment, every input that once broke a law, and the fuzzer itself: it finds what is planted."""

import hashlib
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.__main__ import main
from tests.fuzz.catalogue import TARGETS
from tests.fuzz.engine import FINDINGS_MAX, fuzz, tried
from tests.fuzz.mutate import WAYS, mutated
from tests.fuzz.reach import Reach
from tests.fuzz.target import Target, pure

FOUND = Path(__file__).parent / "found"
INPUTS, INPUTS_SLOW = 250, 60
SLOW = {"smtp", "configuration", "reports"}


def for_inputs(number):
    return lambda outcome: outcome.executions < number


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_moment_of_each(name, tmp_path):
    number = INPUTS_SLOW if name in SLOW else INPUTS
    outcome = fuzz(TARGETS[name], tmp_path, seed=7, go_on=for_inputs(number))
    assert not outcome.findings
    assert outcome.executions == number
    assert outcome.kept > len(TARGETS[name].seeds), "no input went a way of its own: nothing is watched"


@pytest.mark.parametrize("path", sorted(FOUND.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_broke_a_law_once(path, tmp_path):
    with TARGETS[path.parent.name].open(tmp_path) as read:
        assert tried(read, path.read_bytes()) is None


# -- the fuzzer itself


def planted(data: bytes) -> None:
    """Three doors one behind the other; chance alone would hardly find the third."""
    if data[:1] != b"k":
        return
    if data[1:2] != b"e":
        return
    if data[2:3] == b"y":
        raise KeyError("planted")


def target(read, *seeds, **more):
    return Target(name="planted", open=pure(read), seeds=seeds, watched=("tests/fuzz",), **more)


def test_it_finds_what_is_planted_and_makes_it_small(tmp_path):
    outcome = fuzz(target(planted, b"aaaaaaaaaaaa", tokens=(b"k", b"e", b"y")), tmp_path, seed=1,
                   go_on=lambda one: one.executions < 60_000 and not one.findings)  # fmt: skip
    (found,) = outcome.findings
    assert (found.kind, found.place, found.data) == ("KeyError", "test_fuzz.py:planted", b"key")
    assert outcome.kept >= 3, "each door behind which it came was kept"


def test_one_fault_is_told_once_and_many_end_the_run(tmp_path):
    def broken(data):
        raise ValueError(data)

    once = fuzz(target(broken, b"a"), tmp_path, seed=1, go_on=for_inputs(50))
    assert len(once.findings) == 1

    def breaks(data):
        kind = type(f"Kind{hashlib.sha256(data).hexdigest()}", (Exception,), {})
        raise kind

    many = fuzz(target(breaks, b"a"), tmp_path, seed=1, go_on=for_inputs(5_000))
    assert len(many.findings) == FINDINGS_MAX


def test_the_same_seed_reads_the_same_inputs(tmp_path):
    def run(seed):
        seen = []
        fuzz(target(seen.append, b"seed one", b"seed two"), tmp_path, seed=seed, go_on=for_inputs(200))
        return seen

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_what_is_kept_open_is_closed(tmp_path):
    told = []

    @contextmanager
    def opened(place):
        told.append(place)
        yield lambda data: None
        told.append("closed")

    fuzz(Target(name="x", open=opened, seeds=(b"a",)), tmp_path, seed=1, go_on=for_inputs(3))
    assert told == [tmp_path, "closed"]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_to_change_gives_octets_within_bounds(way):
    for number in range(300):
        chance = Random(number)
        data = chance.randbytes(chance.randint(0, 40))
        assert isinstance(way(chance, data, [b"other", b""], (b"word",)), bytes)
    assert len(mutated(Random(1), b"x" * 90, [], (), 50)) <= 50


def test_only_what_is_watched_counts():
    reach = Reach(("tests/fuzz/mutate.py",))
    with reach:
        hashlib.sha256(b"x")
        mutated(Random(1), b"abc", [], (), 10)
    assert reach.new()
    assert {Path(code.co_filename).name for code, _, _ in reach.seen} == {"mutate.py"}
    with reach:
        mutated(Random(1), b"abc", [], (), 10)
    assert not reach.new(), "the same way again is nothing new"


def test_the_command_says_what_it_did(tmp_path, monkeypatch, capsys):
    words = ["--minutes", "0.01", "--target", "traceparent", "--json", str(tmp_path / "report.json")]
    monkeypatch.setattr(sys, "argv", ["fuzz", *words, "--output", str(tmp_path / "found")])
    assert main() == 0
    assert "traceparent" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["broken"], report["inputs"] > 0) == (0, True)


def test_the_command_keeps_what_broke_a_law(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(TARGETS, "traceparent", target(planted, b"key"))
    monkeypatch.setattr(
        sys, "argv", ["fuzz", "--minutes", "0.01", "--target", "traceparent", "--output", str(tmp_path)]
    )
    assert main() == 1
    assert "BROKEN KeyError in test_fuzz.py:planted" in capsys.readouterr().out
    (kept,) = tmp_path.glob("planted/*.bin")
    assert kept.read_bytes() == b"key"
