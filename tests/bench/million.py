"""``python -m tests.bench.million``: a node with a million queued messages: start, memory, and how fast it sends.

Filled through the spool's own verbs. ``--cluster``: the node is one of three; first all of it is copied to its shadow,
then it is killed and started again. Compared is the same with few messages: each start sends at once, and the rate
counts once it is warm. Exit code 0 only if every goal is reached.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.config import relay_config
from tests.bench.loading import filled
from tests.bench.sinks import FirstSink, settle_disk
from tests.bench.trio import Trio, memory_mib, wait_for
from tests.support.relay import RelayProcess
from tests.support.relay_cluster import NAMES

SIZE = 1024
WARM, SENT = 1_000, 3_000
FEW = 30_000
ROUNDS = 3
START_S, MEMORY_MIB, RATE = 5.0, 300.0, 0.9
OWNER = NAMES[0]


class Seen:
    """What was measured of one node over its starts."""

    def __init__(self, node: RelayProcess, sink: FirstSink) -> None:
        self.node, self.sink = node, sink
        self.start_s: list[float] = []
        self.msg_s: list[float] = []
        self.memory_mib: list[dict[str, float]] = []

    def start(self) -> None:
        """Start it and have it send for a while; it runs on."""
        settle_disk()
        first, began_s = len(self.sink.times), time.perf_counter()
        self.node.start(wait=False)
        self.node.wait_ready(120)
        self.start_s.append(time.perf_counter() - began_s)
        wait_for(lambda: len(self.sink.times) >= first + WARM + SENT, 180, f"{SENT} messages are sent", 0.005)
        times = self.sink.times[first + WARM : first + WARM + SENT]
        self.msg_s.append((SENT - 1) / (times[-1] - times[0]))
        self.memory_mib.append(memory_mib(self.node.process))


def alone(home: Path, count: int) -> dict:
    """A node without a cluster, and a second one with few messages: they take turns."""
    asyncio.run(filled(home / "few" / "spool", FEW, SIZE))
    fill_s = asyncio.run(filled(home / "many" / "spool", count, SIZE))
    with FirstSink() as sink:
        few, many = (
            Seen(RelayProcess(home / name, relay_config(sink.port, None, processes=1)), sink)
            for name in ("few", "many")
        )
        for _ in range(ROUNDS):
            for seen in (few, many):
                seen.start()
                seen.node.stop()
    return {"filled_per_s": count / fill_s, **shown(few, many)}


def shown(few: Seen, many: Seen) -> dict:
    return {
        "start_s": many.start_s,
        "start_few_s": few.start_s,
        "memory_mib": many.memory_mib,
        "memory_few_mib": few.memory_mib,
        "msg_s": many.msg_s,
        "msg_few_s": few.msg_s,
    }


def cluster(home: Path, count: int) -> dict:
    """One of three nodes, with everything kept twice; the same three with few messages before."""
    few, _ = in_cluster(home / "few", FEW)
    many, copied_per_s = in_cluster(home / "many", count)
    return {"copied_per_s": copied_per_s, **shown(few, many)}


def in_cluster(home: Path, count: int) -> tuple[Seen, float]:
    """Have all of it copied, then kill and start the node; how many were copied in a second, too."""
    asyncio.run(filled(home / OWNER / "spool", count, SIZE))
    with FirstSink() as sink, Trio(home, relay_config(sink.port, None, processes=1), rests=True) as trio:
        node, began_s = trio.nodes[OWNER], time.monotonic()
        wait_for(lambda: not trio.protected(OWNER), 60, "copying begins")
        wait_for(lambda: trio.protected(OWNER), 3_000, "everything is kept twice", 0.5)
        copied_per_s, seen = count / (time.monotonic() - began_s), Seen(node, sink)
        node.kill()
        trio.resume(trio.nodes[NAMES[1]])
        for _ in range(ROUNDS):
            seen.start()
            node.kill()
    return seen, copied_per_s


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.million")
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    # Not in /tmp: it may be memory, and durability is what is measured.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        facts = (cluster if options.cluster else alone)(Path(directory), options.messages)
    ratio = statistics.median(facts["msg_s"]) / statistics.median(facts["msg_few_s"])
    memory, start_s = max(sum(each.values()) for each in facts["memory_mib"]), statistics.median(facts["start_s"])
    facts = {"messages": options.messages, **facts, "rate_of_few": ratio, "memory_most_mib": memory}
    text = json.dumps(facts, indent=1)
    print(text)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n")
    return 0 if start_s <= START_S and memory <= MEMORY_MIB and ratio >= RATE else 1


if __name__ == "__main__":
    sys.exit(main())
