"""The audit's chain: whatever is changed, taken out, put in or moved is found."""

import json

from hypothesis import given
from hypothesis import strategies as st

from node.policy.chain import START, first_fault, sealed


def chain(count: int) -> list[str]:
    lines, before = [], START
    for number in range(1, count + 1):
        entry = sealed({"event": f"deed {number}", "facts": {"why": "ü\n"}}, number, before)
        before = entry["hash"]
        lines.append(json.dumps(entry))
    return lines


def fault(lines: list[str]) -> str:
    return first_fault((f"line {number}", line) for number, line in enumerate(lines, 1))


def test_a_chain_is_whole_and_so_is_its_end():
    assert fault([]) == fault(chain(7)) == fault(chain(7)[3:]) == ""


@given(st.integers(2, 9), st.data())
def test_a_changed_entry_is_found(count, data):
    lines = chain(count)
    at = data.draw(st.integers(0, count - 1))
    entry = json.loads(lines[at])
    key = data.draw(st.sampled_from(sorted(entry)))
    entry[key] = 99 if key == "n" else "0" * 63 + "f" if key in {"hash", "before"} else "other"
    lines[at] = json.dumps(entry)
    assert fault(lines) != ""


@given(st.integers(3, 9), st.data())
def test_an_entry_taken_out_of_the_middle_doubled_or_moved_is_found(count, data):
    lines = chain(count)
    at = data.draw(st.integers(1, count - 2))
    assert "does not follow" in fault(lines[:at] + lines[at + 1 :])
    assert "does not follow" in fault([*lines[: at + 1], *lines[at:]])
    assert fault([*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]) != ""


@given(st.text(max_size=40))
def test_what_is_no_entry_is_named_with_its_place(text):
    assert fault([*chain(2), text.replace("\n", " ")]).startswith("line 3: ")


def test_an_entry_sealed_anew_no_longer_fits_the_next():
    lines = chain(4)
    entry = json.loads(lines[1]) | {"event": "other"}
    bare = {key: value for key, value in entry.items() if key not in {"n", "before", "hash"}}
    lines[1] = json.dumps(sealed(bare, entry["n"], entry["before"]))
    assert fault(lines).startswith("line 3: ")
