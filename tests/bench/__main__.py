"""``make bench``: the rows of the design's table, against Postfix in the same run; text, JSON, exit code.

Postfix and the relay take turns round by round; the ratio of their medians is compared with the goal.
The relay runs durable (``synchronous=FULL``) with every trace exported to a real OTLP endpoint.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import copies, tracing
from tests.bench.config import relay_config
from tests.bench.postfix import Postfix
from tests.bench.sinks import OtlpSink, SmtpSink, send, settle_disk
from tests.support.ports import free_ports
from tests.support.relay import RelayProcess

ROWS = (
    # name, goal, messages, bytes, sessions, kept
    ("accept, one session per message", 2.0, 4000, 4096, 20, False),
    ("accept, kept sessions", 3.0, 6000, 4096, 20, True),
    ("accept and deliver until empty", 1.5, 3000, 4096, 20, False),
    ("accept 1 MB messages", 1.5, 400, 1 << 20, 10, True),
)
DELIVERY_ROW = 2
ROW_HELP = "only these rows (1-4 against Postfix, 5: copies, 6: tracing)"
COPIES_ROW = 5
TRACING_ROW = 6


def need_postfix() -> None:
    if shutil.which("smtp-source") and shutil.which("postfix"):
        return
    if os.geteuid() != 0:
        sys.exit("bench: Debian's postfix is needed (smtp-source, smtp-sink, postfix); install it as root")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], check=True, env=environment, stdout=subprocess.DEVNULL)
    subprocess.run(["apt-get", "install", "-yq", "postfix"], check=True, env=environment, stdout=subprocess.DEVNULL)


def one_round(port: int, row, wait_empty) -> float:
    """Messages a second from the first connection to the last 250, or until the queue is empty again."""
    _, _, count, size, sessions, keep = row
    settle_disk()
    started = time.perf_counter()
    send(port, count=count, size=size, sessions=sessions, keep=keep)
    wait_empty()
    return count / (time.perf_counter() - started)


def spread(rates: list[float]) -> str:
    """The slowest and the fastest round."""
    return f"{min(rates):.0f}-{max(rates):.0f}"


def measure(home: Path, row, rounds: int, sink: SmtpSink) -> dict:
    """All run all the time and take turns, so that whatever else the machine does hits them alike.

    Judged is the relay against a Postfix that logs nothing, as none has a syslog here. One with its own ``postlogd``
    runs along, for the reader: the relay tells of every message too.
    """
    name, goal, count, size, sessions, keep = row
    deliver = name == ROWS[DELIVERY_ROW][0]
    ours, theirs, logging_too = [], [], []
    postfix_port, logging_port = free_ports(2)
    upstream = sink.port if deliver else None
    with (
        OtlpSink() as otlp,
        RelayProcess(home / "relay", relay_config(sink.port, otlp.url)) as relay,
        Postfix(home / "postfix", postfix_port, upstream) as postfix,
        Postfix(home / "postfix-logging", logging_port, upstream, log=True) as logging_postfix,
    ):
        if not deliver:
            relay.post("/v1/accounts/park", account="contoso/smarthost", reason="bench: accept only")
        relay_port = relay.port()
        turns = (
            (ours, relay_port, relay.wait_empty if deliver else lambda: None),
            (theirs, postfix_port, postfix.wait_empty if deliver else lambda: None),
            (logging_too, logging_port, logging_postfix.wait_empty if deliver else lambda: None),
        )
        for _, port, wait_empty in turns:
            send(port, count=100, size=size, sessions=sessions, keep=keep)
            wait_empty()
        for _ in range(rounds):
            for rates, port, wait_empty in turns:
                rates.append(one_round(port, row, wait_empty))
        relay.stop()
        spans = otlp.spans() / (rounds * count + 100)
    ratio = statistics.median(ours) / statistics.median(theirs)
    return {
        "work": name,
        "goal": goal,
        "ratio": ratio,
        "relay_msg_s": ours,
        "postfix_msg_s": theirs,
        "postfix_with_its_log_msg_s": logging_too,
        "spans_per_message": spans,
    }


def three_against_one(rounds: int) -> dict:
    """Three nodes with second copies against one without (``copies.py``)."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        result = copies.measure(Path(directory), rounds)
    for row in result["rows"]:
        one, three = (statistics.median(row[which]) for which in ("one_node_msg_s", "three_nodes_msg_s"))
        print(f"{row['work']:34} {one:5.0f} /s one {three:5.0f} /s three {row['ratio']:5.2f}x {row['goal']:5.1f}x")
    for row in result["added"]:
        print(
            f"a copy adds, {row['clients']} clients {row['added_ms']:6.2f} ms, at most {row['goal_ms']:.1f}", flush=True
        )
    return result


def with_and_without(rounds: int) -> list[dict]:
    """The relay with every trace exported against the same without (``tracing.py``)."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory, SmtpSink() as sink:
        return tracing.measure(Path(directory), rounds, sink)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("var/bench.json"))
    parser.add_argument("--row", type=int, action="append", help=ROW_HELP)
    options = parser.parse_args()
    need_postfix()
    results, missed = [], 0
    print(f"{'work':34} {'postfix':>12} {'relay':>12} {'ratio':>7} {'goal':>6} {'spans/msg':>10} {'postfix+log':>13}")
    # Not in /tmp: it may be memory, and durability is what is measured.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory, SmtpSink() as sink:
        Path(directory).chmod(0o755)
        for number, row in enumerate(ROWS):
            if options.row and number + 1 not in options.row:
                continue
            (Path(directory) / str(number)).mkdir(mode=0o755)
            result = measure(Path(directory) / str(number), row, options.rounds, sink)
            results.append(result)
            missed += result["ratio"] < result["goal"]
            print(
                f"{row[0]:34} {statistics.median(result['postfix_msg_s']):8.0f} /s "
                f"{statistics.median(result['relay_msg_s']):9.0f} /s  "
                f"{result['ratio']:6.2f}x {row[1]:5.1f}x {result['spans_per_message']:9.1f} "
                f"{statistics.median(result['postfix_with_its_log_msg_s']):10.0f} /s",
                flush=True,
            )
            print(f"{'':34} {spread(result['postfix_msg_s']):>12} {spread(result['relay_msg_s']):>12}", flush=True)
    traced = with_and_without(options.rounds) if not options.row or TRACING_ROW in options.row else []
    missed += tracing.missed(traced)
    result = three_against_one(options.rounds) if not options.row or COPIES_ROW in options.row else {}
    missed += copies.missed(result) if result else 0
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(
        json.dumps({"rows": results, "copies": result, "tracing": traced, "cores": os.cpu_count()}, indent=2) + "\n"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
