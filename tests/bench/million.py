"""``python -m tests.bench.million``: a node with a million queued messages: start, memory, and how fast it sends.

Filled through the spool's own verbs. ``--cluster``: the node is one of three; first all of it is copied to its shadow,
then it is killed and started again. The rate is compared with that of the same node that has only what is sent.
Exit code 0 only if every goal is reached.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from tests.bench.config import relay_config
from tests.bench.loading import filled
from tests.bench.sinks import FirstSink, send, settle_disk
from tests.bench.trio import SCOPE, Trio, memory_mib, parked, wait_for
from tests.support.relay import RelayProcess
from tests.support.relay_cluster import NAMES

SIZE = 1024
SENT = 3_000
ROUNDS = 3
START_S, MEMORY_MIB, RATE = 5.0, 300.0, 0.9
OWNER = NAMES[0]


@contextmanager
def one_node(home: Path):
    with FirstSink() as sink:
        node = RelayProcess(home, relay_config(sink.port, None, processes=1))
        try:
            yield node, sink
        finally:
            node.__exit__(None, None, None)


def rest(node: RelayProcess) -> None:
    node.post("/v1/accounts/park", account=SCOPE, reason="bench: rest")
    wait_for(lambda: parked(node), 20, "the upstream rests")


def sent_per_s(node: RelayProcess, sink: FirstSink) -> float:
    """Messages a second from the first to the last of ``SENT`` that reach the upstream; then it rests again."""
    settle_disk()
    first = len(sink.times)
    node.post("/v1/accounts/resume", account=SCOPE, reason="bench: send")
    wait_for(lambda: len(sink.times) >= first + SENT, 120, f"{SENT} messages are sent", 0.005)
    rest(node)
    time.sleep(0.5)
    return (SENT - 1) / (sink.times[first + SENT - 1] - sink.times[first])


def rates(node: RelayProcess, sink: FirstSink, feed) -> list[float]:
    found = []
    for _ in range(ROUNDS):
        feed()
        found.append(sent_per_s(node, sink))
    return found


def started(node: RelayProcess) -> float:
    began_s = time.perf_counter()
    node.start(wait=False)
    node.wait_ready(120)
    return time.perf_counter() - began_s


def alone(home: Path, count: int) -> dict:
    """One node without a cluster."""
    fill_s = asyncio.run(filled(home / "full" / "spool", count, SIZE))
    with one_node(home / "empty") as (node, sink):
        empty_start_s = started(node)
        rest(node)
        empty = rates(node, sink, lambda: fed(node, "127.0.0.1"))
        empty_mib = memory_mib(node.process)
    settle_disk()
    with one_node(home / "full") as (node, sink):
        start_s, ready_mib = started(node), memory_mib(node.process)
        rest(node)
        full = rates(node, sink, lambda: None)
        full_mib = memory_mib(node.process)
        waiting = node.waiting()
    return {
        "filled_per_s": count / fill_s,
        "waiting_at_the_end": waiting,
        "start_s": start_s,
        "empty_start_s": empty_start_s,
        "memory_ready_mib": ready_mib,
        "memory_mib": full_mib,
        "memory_empty_mib": empty_mib,
        "empty_msg_s": empty,
        "full_msg_s": full,
    }


def fed(node: RelayProcess, host: str) -> None:
    send(node.port(), host=host, count=SENT + 200, size=SIZE, sessions=20, keep=True)


def cluster(home: Path, count: int) -> dict:
    """One of three nodes, with a pairing and everything kept twice."""
    with FirstSink() as sink, Trio(home / "few", relay_config(sink.port, None, processes=1)) as trio:
        trio.rest()
        node = trio.nodes[OWNER]
        empty = rates(node, sink, lambda: fed_whole(trio))
        empty_mib = memory_mib(node.process)
    fill_s = asyncio.run(filled(home / "many" / OWNER / "spool", count, SIZE))
    with FirstSink() as sink, Trio(home / "many", relay_config(sink.port, None, processes=1)) as trio:
        trio.rest()
        began_s = time.monotonic()
        node = trio.nodes[OWNER]
        wait_for(lambda: trio.protected(OWNER), 1500, "everything is kept twice", 0.5)
        copied_s = time.monotonic() - began_s
        settle_disk()
        node.kill()
        start_s = started(node)
        wait_for(lambda: trio.protected(OWNER), 60, "its copies are known")
        ready_mib = memory_mib(node.process)
        full = rates(node, sink, lambda: None)
        full_mib = memory_mib(node.process)
        shadow_mib = memory_mib(trio.nodes[trio.shadow(OWNER)].process)
        waiting = node.waiting()
    return {
        "filled_per_s": count / fill_s,
        "copied_per_s": count / copied_s,
        "waiting_at_the_end": waiting,
        "start_s": start_s,
        "memory_ready_mib": ready_mib,
        "memory_mib": full_mib,
        "memory_shadow_mib": shadow_mib,
        "memory_empty_mib": empty_mib,
        "empty_msg_s": empty,
        "full_msg_s": full,
    }


def fed_whole(trio: Trio) -> None:
    fed(trio.nodes[OWNER], trio.address(OWNER))
    wait_for(lambda: trio.protected(OWNER), 60, "everything is kept twice")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.million")
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    # Not in /tmp: it may be memory, and durability is what is measured.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        facts = (cluster if options.cluster else alone)(Path(directory), options.messages)
    ratio = statistics.median(facts["full_msg_s"]) / statistics.median(facts["empty_msg_s"])
    memory = max(sum(facts["memory_ready_mib"].values()), sum(facts["memory_mib"].values()))
    facts = {"messages": options.messages, **facts, "rate_of_empty": ratio, "memory_most_mib": memory}
    text = json.dumps(facts, indent=1)
    print(text)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n")
    return 0 if facts["start_s"] <= START_S and memory <= MEMORY_MIB and ratio >= RATE else 1


if __name__ == "__main__":
    sys.exit(main())
