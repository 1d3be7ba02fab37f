"""``python -m tests.bench.tracing``: what tracing every message costs: the same relay with and without, in one run.

Both run all the time and take turns round by round, so that whatever else the machine does hits them alike. The one
exports every span of every message to a receiver that reads them off the wire; the other has no ``telemetry.otlp``.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench.config import relay_config
from tests.bench.sinks import OtlpSink, SmtpSink, send, settle_disk
from tests.support.relay import RelayProcess

ROWS = (
    # name, goal (throughput with tracing to that without), messages, bytes, sessions, kept, delivered
    ("tracing at 100 %: accept", 0.85, 6000, 4096, 20, True, False),
    ("tracing at 100 %: until empty", 0.85, 3000, 4096, 20, False, True),
)
WARM_UP = 200
SCOPE = "contoso/smarthost"


def one_round(relay: RelayProcess, row, count: int) -> float:
    """Messages a second from the first connection to the last 250, or until the queue is empty again."""
    _, _, _, size, sessions, keep, deliver = row
    settle_disk()
    started = time.perf_counter()
    send(relay.port(), count=count, size=size, sessions=sessions, keep=keep)
    if deliver:
        relay.wait_empty(300)
    return count / (time.perf_counter() - started)


def measure_row(home: Path, row, rounds: int, sink: SmtpSink, *, share: float = 1.0) -> dict:
    """One row; ``share`` of its messages, for a short look."""
    count = max(1, round(row[2] * share))
    rates: dict[str, list[float]] = {"with": [], "without": []}
    with ExitStack() as stack:
        otlp = stack.enter_context(OtlpSink())
        relays = {
            name: stack.enter_context(RelayProcess(home / name, relay_config(sink.port, url)))
            for name, url in (("with", otlp.url), ("without", None))
        }
        for relay in relays.values():
            if not row[-1]:
                relay.post("/v1/accounts/park", account=SCOPE, reason="bench: accept only")
            one_round(relay, row, WARM_UP)
        for number in range(rounds):
            # Who begins takes turns too: what the first leaves to the disk the second may pay for.
            for name in sorted(relays, reverse=bool(number % 2)):
                rates[name].append(one_round(relays[name], row, count))
        dropped = relays["with"].metric("relay_spans_dropped_total")
        for relay in relays.values():
            relay.stop()
        spans = otlp.spans() / (rounds * count + WARM_UP)
    ratio = statistics.median(rates["with"]) / statistics.median(rates["without"])
    return {
        "work": row[0],
        "goal": row[1],
        "ratio": ratio,
        "with_msg_s": rates["with"],
        "without_msg_s": rates["without"],
        "spans_per_message": spans,
        "spans_dropped": dropped,
    }


def measure(home: Path, rounds: int, sink: SmtpSink, *, share: float = 1.0) -> list[dict]:
    """Every row; printed as it is found."""
    found = []
    for number, row in enumerate(ROWS):
        result = measure_row(home / str(number), row, rounds, sink, share=share)
        found.append(result)
        with_it, without = (statistics.median(result[name]) for name in ("with_msg_s", "without_msg_s"))
        print(
            f"{row[0]:34} {without:5.0f} /s without {with_it:5.0f} /s with {result['ratio']:5.2f}x {row[1]:5.2f}x "
            f"{result['spans_per_message']:5.1f} spans/msg, {result['spans_dropped']:.0f} dropped",
            flush=True,
        )
    return found


def missed(rows: list[dict]) -> int:
    """How many goals were; spans that were dropped cost nothing, so they do not count as tracing."""
    return sum(row["ratio"] < row["goal"] or row["spans_dropped"] > 0 for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.tracing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of each row's messages, for a short look")
    parser.add_argument("--json", type=Path, default=Path("var/bench-tracing.json"))
    options = parser.parse_args()
    # Not in /tmp: it may be memory, and durability is what is measured.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory, SmtpSink() as sink:
        result = measure(Path(directory), options.rounds, sink, share=options.share)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if missed(result) else 0


if __name__ == "__main__":
    sys.exit(main())
