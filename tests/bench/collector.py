"""``python -m tests.bench.collector``: what a trace collector costs that is gone, against one that takes the spans.

The work of ``tracing.py``, by three relays that run all the time and take turns: spans are taken, refused (nobody
listens at the port), or wait for an answer that never comes. Figures are told, not judged: they show whether there is a
difference beyond the spread.
"""

import argparse
import json
import socket
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench.config import relay_config
from tests.bench.sinks import OtlpSink, SmtpSink
from tests.bench.tracing import ROWS, SCOPE, WARM_UP, one_round
from tests.support.ports import free_ports
from tests.support.relay import RelayProcess


def measure_row(home: Path, row, rounds: int, sink: SmtpSink) -> dict[str, list[float]]:
    """Messages a second of every round, by what becomes of the spans."""
    with ExitStack() as stack:
        otlp = stack.enter_context(OtlpSink())
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=50))
        ports = {"refused": free_ports(1)[0], "unanswered": silent.getsockname()[1]}
        urls = {"taken": otlp.url, **{name: f"http://127.0.0.1:{port}" for name, port in ports.items()}}
        relays = {
            name: stack.enter_context(RelayProcess(home / name, relay_config(sink.port, url)))
            for name, url in urls.items()
        }
        for relay in relays.values():
            if not row[-1]:
                relay.post("/v1/accounts/park", account=SCOPE, reason="bench: accept only")
            one_round(relay, row, WARM_UP)
        names, rates = list(relays), {name: [] for name in relays}
        for turn in range(rounds):
            at = turn % len(names)  # who begins takes turns too
            for name in names[at:] + names[:at]:
                rates[name].append(one_round(relays[name], row, row[2]))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.collector", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, default=Path("var/collector.json"))
    options = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory, SmtpSink() as sink:
        for number, row in enumerate(ROWS):
            work = row[0].rpartition(": ")[2]
            found[work] = rates = measure_row(Path(directory) / str(number), row, options.rounds, sink)
            for name, each in rates.items():
                print(f"{work:12} spans {name:11} {statistics.median(each):6.0f} /s  {min(each):.0f}-{max(each):.0f}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
