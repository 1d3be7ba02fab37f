"""``python -m tests.bench.copies``: what second copies cost at the door: three nodes against one; the wait they add.

One node without a cluster runs first, then three with copies, then the one again, each alone on the machine, so that
nobody pays for the other's idling. Rows 1 and 2 of ``make bench``; three are sent to at the same time by one
smtp-source each. Exit code 0 only if every goal is reached.
"""

import argparse
import json
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.bench.config import relay_config
from tests.bench.sinks import OtlpSink, SmtpSink, send, settle_disk
from tests.bench.trio import SCOPE, Trio, parked, wait_for
from tests.bench.waits import added
from tests.support.relay import RelayProcess
from tests.support.relay_cluster import NAMES

ROWS = (
    # name, goal, messages, bytes, sessions (of each smtp-source alone, and for each of three), kept
    ("accept, one session per message", 0.5, 4000, 4096, 20, False),
    ("accept, kept sessions", 0.5, 6000, 4096, 20, True),
)


def one_node(home: Path, sink: SmtpSink, rounds: int, rows) -> dict[str, list[float]]:
    """Messages a second of a node without a cluster, by row."""
    with OtlpSink() as otlp, RelayProcess(home, relay_config(sink.port, otlp.url)) as relay:
        relay.post("/v1/accounts/park", account=SCOPE, reason="bench: accept only")
        wait_for(lambda: parked(relay), 20, "the upstream rests")
        port = relay.port()

        def once(row) -> float:
            _, _, count, size, sessions, keep = row
            return count / send(port, count=count, size=size, sessions=sessions, keep=keep)

        return rates(rows, rounds, once)


def rates(rows, rounds: int, once) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {row[0]: [] for row in rows}
    for row in rows:
        once((*row[:2], 300, *row[3:]))
    for _ in range(rounds):
        for row in rows:
            settle_disk()
            found[row[0]].append(once(row))
    return found


def three_nodes(trio: Trio, rounds: int, rows) -> tuple[dict[str, list[float]], int]:
    """The same of three, and how many were accepted on one machine alone."""

    def once(row) -> float:
        _, _, count, size, sessions, keep = row
        return count / trio.send_to_all(count, size=size, sessions=sessions, keep=keep)

    found = rates(rows, rounds, once)
    return found, sum(trio.nodes[name].status()["copies"]["unprotected"] for name in NAMES)


def measure(home: Path, rounds: int, *, processes: int = 1, only: str = "") -> dict:
    """Everything, or only ``rates`` or ``waits``."""
    rows = () if only == "waits" else ROWS
    with SmtpSink() as sink:
        plain = partial(relay_config, sink.port, processes=processes)
        alone = one_node(home / "before", sink, rounds, rows)
        with OtlpSink() as otlp, Trio(home / "trio", plain(otlp.url)) as trio:
            trio.rest()
            three, unprotected = three_nodes(trio, rounds, rows)
            waits = [] if only == "rates" else added(trio, rounds)
        for name, more in one_node(home / "after", sink, rounds, rows).items():
            alone[name] += more
    found = [judged(row, alone[row[0]], three[row[0]]) for row in rows]
    return {"rows": found, "added": waits, "unprotected": unprotected, "processes_each_of_three": processes}


def missed(result: dict) -> int:
    """How many goals were."""
    slow = [row for row in result["rows"] if row["ratio"] < row["goal"]]
    return len(slow) + sum(row["added_ms"] > row["goal_ms"] for row in result["added"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.copies")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=1, help="intake processes of each of the three")
    parser.add_argument("--only", choices=("rates", "waits"), default="")
    parser.add_argument("--json", type=Path, default=Path("var/bench-copies.json"))
    options = parser.parse_args()
    # Not in /tmp: it may be memory, and durability is what is measured.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        result = measure(Path(directory), options.rounds, processes=options.processes, only=options.only)
    text = json.dumps(result, indent=2)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(text + "\n")
    print(text)
    return 1 if missed(result) else 0


def judged(row, alone: list[float], three: list[float]) -> dict:
    ratio = statistics.median(three) / statistics.median(alone)
    return {"work": row[0], "goal": row[1], "ratio": ratio, "one_node_msg_s": alone, "three_nodes_msg_s": three}


if __name__ == "__main__":
    sys.exit(main())
