"""A real front door for tests: IntakeServer on port 0 over a real SQLite spool, in a thread with its own loop."""

import asyncio
import threading
import time
from pathlib import Path

import uvloop

from node.cluster.contract import Refusal
from node.intake.local import LocalDoor
from node.intake.server import IntakeServer
from node.intake.supervisor import Supervisor
from node.settings.model import Settings
from node.settings.rules import intake_rules
from node.spool.contract import Filter
from node.spool.sqlite import SqliteSpool
from node.telemetry.context import begin, child

BOUND_S = 30.0


class Ears:
    """Telemetry that remembers."""

    def __init__(self):
        self.spans, self.counts = [], {}

    def root(self, traceparent=""):
        return begin(traceparent)

    def child(self, parent):
        return child(parent)

    def span(self, span):
        self.spans.append(span)

    def count(self, name, amount=1, **labels):
        key = (name, *sorted(labels.items()))
        self.counts[key] = self.counts.get(key, 0) + amount

    def observe(self, name, value, **labels):
        self.count(name, **labels)

    def merge(self, name, spread, **labels):
        self.count(name, sum(spread.counts), **labels)

    def gauge(self, name, value, **labels):
        pass

    def refused(self, reason):
        return self.counts.get(("relay_intake_refused", ("reason", reason)), 0)


class Purse:
    """Client budgets: a number of recipients per client, counted."""

    def __init__(self, room=10**9):
        self.room, self.used = room, {}

    def admit_client(self, client, recipients, now_ms):
        if self.used.get(client, 0) + recipients > self.room:
            return Refusal(reason="rate", retry_ms=now_ms + 1000)
        self.used[client] = self.used.get(client, 0) + recipients
        return None

    def client_done(self, client, reserved, used, now_ms):
        self.used[client] -= reserved - used


def settings_of(home: Path, **changes) -> Settings:
    base = {
        "spool": str(home / "spool"),
        "hostname": "relay.test",
        "listeners": {"smtp": {"port": 0, "address": "127.0.0.1"}},
        "tenants": {"contoso": {"id": "t", "domains": ["contoso.com"]}},
        "clients": {"apps": {"networks": ["127.0.0.0/8"], "senders": ["*@contoso.com"], "trace": True}},
    }
    return Settings.model_validate({**base, **changes})


class IntakeHouse:
    """``with IntakeHouse(tmp_path, listeners=...) as house``: ``house.port()``, ``house.messages()``."""

    def __init__(self, home: Path, *, processes=1, room=10**9, verifier=None, **changes):
        self.settings = settings_of(home, **changes)
        self.home, self.processes, self.verifier = home, processes, verifier
        self.ears, self.purse = Ears(), Purse(room)
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        try:
            self.run(self._start())
        except BaseException:
            self._stop_loop()
            raise
        return self

    async def _start(self):
        now_ms = lambda: time.time_ns() // 1_000_000  # noqa: E731
        self.spool = SqliteSpool(self.settings.spool, now_ms=now_ms)
        await self.spool.open(now_ms())
        self.door = LocalDoor(self.spool, self.purse, verifier=self.verifier)
        if self.processes == 1:
            rules = intake_rules(self.settings, "relay.test")
            self.server = IntakeServer(self.settings, rules, self.door, self.ears)
        else:
            self.server = Supervisor(
                self.settings, self.door, self.ears, hostname="relay.test", processes=self.processes
            )
        await self.server.start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(BOUND_S)

    def call(self, function, *args):
        async def inside():
            return function(*args)

        return self.run(inside())

    def port(self, name="smtp"):
        return self.server.ports[name]

    def messages(self):
        return self.run(self.spool.find(Filter(limit=100)))

    def body(self, message_id) -> bytes:
        body = self.run(self.spool.body(message_id))
        return body if isinstance(body, bytes) else Path(body).read_bytes()

    def only_body(self) -> bytes:
        (view,) = self.messages()
        return self.body(view.message.id)

    def until(self, condition, bound_s=10.0):
        end = time.monotonic() + bound_s
        while not condition():
            assert time.monotonic() < end, "condition not met in time"
            time.sleep(0.01)

    def __exit__(self, *_):
        async def stop():
            await self.server.close()
            await self.spool.close()

        try:
            self.run(stop())
        finally:
            self._stop_loop()

    def _stop_loop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(BOUND_S)
        self.loop.close()
