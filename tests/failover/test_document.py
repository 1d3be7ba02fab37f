"""The tables of docs/failover.md are what the kept runs say, and the document has a place for them."""

import pytest

from tests.failover import document
from tests.failover.cases import CASES
from tests.failover.subjects import SUBJECTS

CASE = {case.name: case for case in CASES}
SUBJECT = {variant.name: variant for variant in SUBJECTS}


def a_run(gap_s: float, *, recovered: bool = True, overlap_s: float = 0.0, failed: dict | None = None) -> dict:
    service = {"gap_s": gap_s, "recovered": recovered, "failed": failed or {}, "longest_wait_s": 1.03}
    binding = {
        "overlap_s": overlap_s,
        "overlap_most_s": overlap_s + 0.004,
        "moved_s": 0.2,
        "unbound_s": 0.03,
        "holders": [0, 1],
    }
    return {"service": service, "binding": binding, "longest_look_s": 0.012, "load": 1.5, "at": "2026-11-25T08:00:00"}


def row(text: str, title: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if f"| {title} |" in line]


def test_median_worst_and_a_goal_missed():
    runs = {"relay-steady": {"service-killed": [a_run(0.2), a_run(0.3), a_run(0.6, failed={"refused": 4})]}}
    gaps, overlaps, nowhere, clients = row(document.figures(runs), CASE["service-killed"].title)
    assert gaps[1:] == ["0.5", "0.30 (0.60) **missed**"]
    assert overlaps[1] == "0 (≤ 0.004)"
    assert nowhere[1] == "0.03 (0.03)"
    assert clients[1] == "4 refused; 1.0 s"


def test_a_service_that_stays_away_is_no_number():
    runs = {
        "keepalived-1s": {"service-killed": [a_run(12.03, recovered=False), a_run(12.01, recovered=False)]},
        "keepalived-1s-script": {"service-killed": [a_run(4.2), a_run(4.4)]},
    }
    (gaps, *_) = row(document.figures(runs), CASE["service-killed"].title)
    assert gaps[-1] == "not within 12 s; with script 4.30 (4.40)"


def test_a_service_that_stays_away_now_and_then_is_told_with_the_rest():
    found = [a_run(10.03, recovered=False), a_run(0.3), a_run(0.4), a_run(9.97, recovered=False)]
    (gaps, *_) = row(document.figures({"keepalived-1s": {"cut-off": found}}), CASE["cut-off"].title)
    assert gaps[-1] == "not within 10 s in 2 of 4, else 0.35 (0.40)"


def test_an_overlap_is_told_with_its_worst():
    runs = {"keepalived-1s": {"keeper-killed": [a_run(0.05, overlap_s=17.2), a_run(0.05, overlap_s=17.3)]}}
    (_, overlaps, *_) = row(document.figures(runs), CASE["keeper-killed"].title)
    assert overlaps[-1] == "17.30"


def test_fewer_runs_than_elsewhere_are_said():
    runs = {"relay-fast": {"moved": [a_run(0.05), a_run(0.06)], "host-gone": [a_run(1.6)]}}
    text = document.figures(runs)
    assert row(text, CASE["moved"].title)[0][-1] == "0.06 (0.06)"
    assert row(text, CASE["host-gone"].title)[0][-1] == "1.60 (1.60); 1 runs"


def test_runs_that_failed_are_told_not_hidden():
    runs = {"relay-fast": {"moved": [{"error": "no holder\nand more", "load": 1.0, "at": "2026-11-25"}]}}
    text = document.figures(runs)
    assert "- relay-fast moved: no holder" in text
    assert row(text, CASE["moved"].title)[0][-1] == "–"


@pytest.mark.parametrize(("name", "goal"), [("service-killed", 0.5), ("keeper-killed", 11), ("moved", 0.1)])
def test_the_goals_of_the_design_are_asked_of_the_relay_alone(name, goal):
    assert document.goal_s(CASE[name], SUBJECT["relay-steady"]) == goal
    assert document.goal_s(CASE[name], SUBJECT["keepalived-1s"]) is None


def test_without_early_takeover_the_lease_is_part_of_the_goal():
    assert document.goal_s(CASE["host-gone"], SUBJECT["relay-fast"]) == 2
    assert document.goal_s(CASE["host-gone"], SUBJECT["relay-fast-late"]) == 6
    assert document.goal_s(CASE["leader-gone"], SUBJECT["relay-fast-late"]) == 7.5


def test_only_what_lies_between_the_marks_is_written(tmp_path):
    file = tmp_path / "failover.md"
    file.write_text(f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n")
    document.write({"relay-fast": {"moved": [a_run(0.07)]}}, file)
    text = file.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "0.07 (0.07)" in text
    document.write({"relay-fast": {"moved": [a_run(0.08)]}}, file)
    assert "0.07" not in file.read_text()


def test_the_document_has_its_marks():
    text = (document.ROOT / "docs" / "failover.md").read_text()
    assert text.count(document.BEGIN) == text.count(document.END) == 1
