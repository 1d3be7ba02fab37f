"""``python -m tests.bench.queues adoption|drain``: how fast a full queue changes hands between real nodes.

A node of three is filled over SMTP while the upstream rests, until all of it is kept twice. ``adoption``: it is
killed; measured is from the log line of the store's transaction to the first message that reaches the upstream.
``drain``: an operator wishes it drained; measured is until the other node owns the mail. Exit code 0 at the goal.
"""

import argparse
import json
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from tests.bench.config import relay_config
from tests.bench.sinks import FirstSink
from tests.bench.trio import Trio, memory_mib, wait_for
from tests.support.relay import RelayProcess
from tests.support.relay_cluster import NAMES

OWNER = NAMES[0]
BEGIN_S, GIVE_S = 2.0, 2.0
FILL = {"size": 1024, "sessions": 20, "keep": True}


@contextmanager
def filled(home: Path, count: int):
    """Three nodes, the first of them full; give them, the upstream and what is known of filling."""
    with FirstSink() as sink, Trio(home, relay_config(sink.port, None, processes=1)) as trio:
        trio.rest()
        seconds = trio.send(OWNER, count, **FILL)
        began_s = time.monotonic()
        wait_for(lambda: trio.protected(OWNER), 300, "everything is kept twice", 0.2)
        facts = {"messages": count, "accepted_per_s": count / seconds, "kept_twice_after_s": time.monotonic() - began_s}
        yield trio, sink, facts


def adoption(home: Path, count: int) -> tuple[dict, bool]:
    """Kill the owner; see when its mail goes on."""
    with filled(home, count) as (trio, sink, facts):
        heir, owned = trio.nodes[trio.shadow(OWNER)], owned_by(trio)
        trio.nodes[OWNER].kill()
        trio.resume(heir)
        killed_s = time.time()
        wait_for(lambda: sink.times, 120, "a message reaches the upstream")
        taken_s = said_at(heir, "pairing", owned, killed_s)
        ended_s = wait_for(
            lambda: said_at(heir, f"took over {count} messages", "", killed_s), 300, "all are taken over", 0.5
        )
        facts |= {
            "transaction_after_kill_s": taken_s - killed_s,
            "begins_after_transaction_s": sink.times[0] - taken_s,
            "goal_s": BEGIN_S,
            "all_taken_over_after_s": ended_s - taken_s,
            "delivered_until_then": sum(at <= ended_s for at in sink.times),
            "memory_mib": memory_mib(heir.process),
        }
    return facts, facts["begins_after_transaction_s"] <= BEGIN_S


def drain(home: Path, count: int) -> tuple[dict, bool]:
    """Wish the owner drained; see when another one owns its mail, when it is gone here, and when it goes on."""
    with filled(home, count) as (trio, sink, facts):
        drained, heir = trio.nodes[OWNER], trio.nodes[trio.shadow(OWNER)]
        trio.resume(drained)
        wished_s = time.time()
        drained.post("/v1/wishes", kind="drain", what=OWNER, on=True, reason="bench")
        owned = owned_by(trio)
        given_s = wait_for(lambda: said_at(heir, "pairing", owned, wished_s), 60, "another node owns the mail")
        wait_for(lambda: any(at > given_s for at in sink.times), 60, "the other node delivers")
        wait_for(lambda: not drained.waiting(), 300, "the drained node is empty", 0.1)
        facts |= {
            "given_after_wish_s": given_s - wished_s,
            "goal_s": GIVE_S,
            "delivered_again_after_wish_s": min(at for at in sink.times if at > given_s) - wished_s,
            "moved_out_after_wish_s": time.time() - wished_s,
        }
        ended_s = wait_for(lambda: said_at(heir, "took over", " messages of", wished_s), 300, "all are taken over", 0.5)
        facts["all_taken_over_after_wish_s"] = ended_s - wished_s
    return facts, facts["given_after_wish_s"] <= GIVE_S


def owned_by(trio: Trio) -> str:
    """What the shadow of the filled node says when its mail is its own."""
    return f"/{trio.shadow(OWNER)}: held, epoch"


def said_at(node: RelayProcess, first: str, then: str, after_s: float) -> float:
    """When a node said something, after a time; 0: not yet."""
    for line in node.log.read_text().splitlines():
        if first in line and then in line:
            at_s = datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
            if at_s >= after_s - 1:
                return at_s
    return 0.0


WORK = {"adoption": (adoption, 100_000), "drain": (drain, 50_000)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.queues")
    parser.add_argument("work", choices=tuple(WORK))
    parser.add_argument("--messages", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    measure, count = WORK[options.work]
    # Not in /tmp: it may be memory, and durability is what is measured.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        facts, reached = measure(Path(directory), options.messages or count)
    text = json.dumps(facts, indent=1)
    print(text)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
