"""Reports one second to one hour late, in each place they can lie in, through restarts: every one finds its mail.

The hour is the mailboxes': simulator and relay are processes with a clock the test moves, their state is in files. What
is forged among the reports is kept aside and counted, and changes nothing.
"""

import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.later import Hour
from tests.support.ndrs import exchange_ndr
from tests.support.ports import free_ports
from tests.support.relay import RelayProcess
from tests.support.simulated import DOMAIN, WIDE, Simulated, directory
from tests.support.world import client, events, hand_in, relay, until, view, wide

APP, BASE, HVE = f"app@{DOMAIN}", f"relay-bounces@{DOMAIN}", f"hve1@{DOMAIN}"
SYSTEM = f"postmaster@{DOMAIN}"
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
STEPS_S = (1, 3, 10, 60, 300, 900, 1_200, 1_800, 2_700, 3_602)
"""After delivery, at which the clock stands; the last is past the last report."""
AWAY = {10: "stop", 300: "kill", 900: "stale", 1_800: "stop", 3_602: "kill"}
"""What befalls the relay in the time before such a step: away meanwhile, or its places in mailboxes forgotten there."""
MESSAGES = 16
CLIENT = "127.0.0.9"
"""Reports come from 127.0.0.1: who hands in which is told by the address."""
DELAYS = ("1s", "1h")


@dataclass(frozen=True)
class Place:
    """Where reports on mail of one path lie."""

    path: str
    place: str = "from"
    folder: str = "inbox"
    keyed: bool = False
    by_smtp: bool = False
    returned: bool = True
    apart_ms: int = 0
    """By how much the relay's clock is ahead of Microsoft's."""

    @property
    def inside(self) -> bool:
        return self.path in ("hve", "direct-send")

    @property
    def domain(self) -> str:
        return DOMAIN if self.inside else "example.com"

    def __str__(self) -> str:
        words = (self.path, self.place if self.path in ("submission", "graph") else "", "" if self.folder == "inbox"
                 else "junk", "keyed" if self.keyed else "", "SMTP" if self.by_smtp else "", "" if self.returned else
                 "no header back", f"{self.apart_ms // MINUTE:+} min" if self.apart_ms else "")  # fmt: skip
        return ", ".join(word for word in words if word)


EVERY = (
    Place("submission", "login"),
    Place("submission", folder="junkemail"),
    Place("submission", returned=False),
    Place("submission", apart_ms=10 * MINUTE),
    Place("submission", apart_ms=-10 * MINUTE),
    Place("graph"),
    Place("graph", "login", returned=False),
    Place("hve"),
    Place("direct-send"),
    Place("direct-send", keyed=True),
    Place("connector", keyed=True),
    Place("connector", folder="junkemail", keyed=True),
    Place("connector", keyed=True, by_smtp=True),
)


class Late:
    """Microsoft 365 and a relay under clocks that the test moves together."""

    def __init__(self, home: Path, place: Place):
        self.place, self.home, self.port = place, home, free_ports(1)[0]
        self.theirs = Hour(home / "theirs")
        self.ours = Hour(home / "ours", place.apart_ms)
        reports = {
            "recipients": {"gone*@*": "5.1.10"}, "after": list(DELAYS), "place": place.place,
            "folder": place.folder, "returned": place.returned,
            **({"to": f"127.0.0.1:{self.port}"} if place.by_smtp else {}),
        }  # fmt: skip
        mailboxes = ["relay1", "app", *([] if place.by_smtp else ["relay-bounces"])]
        connectors = [{"networks": ["127.0.0.0/24"]}] if place.path == "connector" else []
        made = directory(mailboxes, limits=WIDE, hve={HVE: {"send_as": [APP]}}, connectors=connectors)
        self.cloud = Simulated(home / "sim", {**made, "reports": reports})
        where = self.cloud.command.index("-m")
        self.cloud.command[where : where + 2] = self.theirs.command("node.rehearsal")

    def node(self) -> RelayProcess:
        place, cloud = self.place, self.cloud
        routes = {"internal": [place.path if place.inside else "submission"],
                  "external": ["submission" if place.inside else place.path]}  # fmt: skip
        node = relay(cloud, self.home / "node", wide("relay1"), routes=routes)
        own = node.config["tenant"]
        own["ndrs"] = {"mailboxes": [APP, *([] if place.by_smtp else [BASE])], "every": "1s"}
        own["hve"] = {"host": f"localhost:{cloud.ready['hve']}", "accounts": {HVE: {"send_as": [APP]}}}
        own["direct_send"] = {"host": f"localhost:{cloud.ready['mx']}"}
        if place.path == "connector":
            own["connector"] = {"host": f"localhost:{cloud.ready['mx']}"}
        node.config["listeners"]["smtp"]["port"] = self.port
        node.config["clients"]["apps"] = client(f"{CLIENT}/32", plan="quick")
        keyed = {"return_path": BASE} if place.keyed else {}
        accept = {"accept_from": ["127.0.0.1/32"]} if place.by_smtp else {}
        node.config["bounces"] = {"digest": "0s", "from": BASE, **keyed, **accept}
        node.entry = [*self.ours.command("node"), "run"]
        return node

    def pass_ms(self, ms: int) -> None:
        self.theirs.pass_ms(ms)
        self.ours.pass_ms(ms)

    def forge(self) -> None:
        """Reports nobody wrote about mail of ours: guessed ids, and a return address of somebody's own making."""
        for name in ("<guessed@contoso.com>", "<other@contoso.com>"):
            self.post(APP, exchange_ndr(to=APP, recipient=f"gone0@{self.place.domain}", message_id=name))
        if self.place.keyed:
            own = BASE.replace("@", "+" + "a" * 40 + "@")
            self.post(APP, exchange_ndr(to=own, recipient=f"gone0@{self.place.domain}"))

    def post(self, mailbox: str, data: bytes) -> None:
        url = f"{self.cloud.ready['control']}/mailboxes/{mailbox}?sender={SYSTEM}&folder={self.place.folder}"
        with urllib.request.urlopen(urllib.request.Request(url, data=data, method="POST"), timeout=10) as answer:
            assert answer.status == 200

    @property
    def forged(self) -> Counter:
        return Counter(unmatched=2, forged=int(self.place.keyed))

    def come(self) -> int | None:
        """Reports that have come; None: some that are due are on their way."""
        told = self.cloud.ask("/reports")
        return None if told["due"] or told["under_way"] else told["come"]


def late(found: dict) -> int | None:
    """Milliseconds between delivery and the report's effect; None: there was none yet."""
    at = {line["event"]: line["at_ms"] for line in found["lines"]}
    return at["bounced_later"] - at["delivered"] if "bounced_later" in at else None


def scene(home: Path, place: Place, steps_s: tuple[int, ...] = STEPS_S, away: dict[int, str] = AWAY) -> None:
    world = Late(home, place)
    with world.cloud as cloud, world.node() as node:
        sent = [hand_in(node.port(), APP, f"gone{number}@{place.domain}", source=CLIENT) for number in range(MESSAGES)]
        node.wait_empty()
        world.forge()
        passed_s = 0
        for step_s in steps_s:
            gone = away.get(step_s, "")
            if gone == "stop":
                assert node.stop() == 0
            elif gone == "kill":
                node.kill()
            elif gone == "stale":
                for mailbox in (APP, BASE, f"relay1@{DOMAIN}"):
                    cloud.ask(f"/mailboxes/{mailbox}/cursors", "DELETE")
            world.pass_ms((step_s - passed_s) * SECOND)
            passed_s = step_s
            if gone in ("stop", "kill"):
                until(lambda: not cloud.ask("/reports")["due"])
                node.start()
            until(lambda: world.come() == matched(node, sent), 40)
        assert cloud.ask("/reports")["waiting"] == 0
        judge(node, sent, world)


def matched(node: RelayProcess, sent: list[str]) -> int:
    return sum("bounced_later" in events(view(node, one)) for one in sent)


def judge(node: RelayProcess, sent: list[str], world: Late) -> None:
    views = [view(node, one) for one in sent]
    delays = [late(found) for found in views]
    assert None not in delays, f"{delays.count(None)} of {MESSAGES} were not matched"
    assert [events(found).count("bounced_later") for found in views] == [1] * MESSAGES
    assert min(delays) < MINUTE, "some at once"
    assert max(delays) > HOUR / 2, "some late"
    kept = Counter(one["outcome"] for one in node.get("/v1/reports")["kept"])
    assert set(kept) == set(+world.forged), "what is forged, and nothing else; read again it is kept again"
    assert kept >= world.forged
    print(f"\n{world.place}: all {MESSAGES} matched, {min(delays) / 1000:.0f} s to {max(delays) / 1000:.0f} s late")


@pytest.mark.timeout(180)
def test_in_the_senders_mailbox(tmp_path):
    scene(tmp_path, Place("submission"), (10, 3_602), {10: "kill"})


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("place", EVERY, ids=str)
def test_in_every_place(tmp_path, place):
    scene(tmp_path, place)
