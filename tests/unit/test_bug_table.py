"""docs/bugs.md: every test it names is there, so that no fault's proof is lost in silence."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "bugs.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", TEXT)))
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| Fault")]


@pytest.mark.parametrize(("place", "function"), NAMED)
def test_what_shows_a_fault_is_there(place, function):
    path = ROOT / place
    assert path.exists(), place
    if function:
        assert re.search(rf"def {function}\(", path.read_text()), f"{place} has no {function}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:40])
def test_a_row_says_what_happened_how_it_was_found_and_what_shows_it(row):
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 4, row
    assert all(cells), row
    assert cells[3] == "–" or "`tests/" in cells[3], row
