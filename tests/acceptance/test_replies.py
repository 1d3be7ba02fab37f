"""Every row of the reply table in a real conversation: the right state of recipient, account and path, and reason.

Each example has a tenant of its own (two accounts, one client), so that nothing one reply puts to rest touches another
case. What must come of a row is worked out here from its columns, not asked of the classifier.
"""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from node.policy.reply import Stage
from node.policy.table import TABLE
from node.policy.table.row import Row
from node.policy.verdict import Hint, Narrow, Outcome, Scope
from node.rehearsal.simulator.directory import Directory, SmartHost
from node.rehearsal.simulator.script import read_steps
from node.rehearsal.simulator.server import Simulator
from tests.support.large_mail import large
from tests.support.relay import READY_BOUND_S
from tests.support.simulated import CLIENT, SECRET, WIDE, Simulated
from tests.support.world import (
    WIDE_ACCOUNT,
    client,
    hand_in,
    relay,
    secret_file,
    settings,
    standings,
    unshared,
    until,
    view,
)

SPOKEN = (Stage.AUTH, Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT, Stage.HTTP)
"""Stages of which a script knows the sender or the account."""
USUAL = {
    "service_not_available": (Stage.MAIL, Stage.BANNER),
    "session_timed_out": (Stage.MAIL,),
    "tls_too_old": (Stage.MAIL,),
    "starttls_demanded": (Stage.MAIL,),
    "not_logged_in": (Stage.MAIL,),
    "basic_auth_removed": (Stage.AUTH,),
    "proxy_error": (Stage.AUTH, Stage.DOT),
    "wrong_region": (Stage.RCPT,),
    "attribution_busy": (Stage.RCPT,),
    "organization_queue_full": (Stage.RCPT,),
    "no_resources": (Stage.MAIL, Stage.DOT),
    "too_many_recipients": (Stage.RCPT,),
    "bad_helo": (Stage.MAIL,),
    "source_throttled": (Stage.RCPT,),
    "source_banned": (Stage.RCPT,),
    "source_recipients_limited": (Stage.RCPT,),
    "connector_not_matched": (Stage.RCPT,),
    "sender_not_permitted": (Stage.MAIL, Stage.DOT),
    "message_too_large": (Stage.MAIL, Stage.DOT),
}
"""Where facts m365 §4 sees replies whose row names no stage; the others come at the final dot."""
ANONYMOUS = ("recipient_inside_only", "recipient_organization_blocks")
"""Rows of which the MX, where nobody logs in, has its own form."""
NOBODY_KNOWN = ("connector", "direct-send")
LATER = (Stage.HTTP, Stage.NDR)
EARLY = ("basic_auth_removed",)
"""Rows that name no stage and are seen at the login only."""
NAMES = ("one", "two")
SMTP_PATHS = ("submission", "hve", "connector", "direct-send", "acs", "smarthost")
MAILBOXES = ("submission", "hve", "graph")
"""Paths with accounts: each tenant has two, and what one account is refused for another may do."""
INSIDE_ONLY = ("hve", "direct-send")
NO_LOGIN = ("connector", "direct-send", "smarthost")
BUILT = ("http_not_sent", "graph_not_built", "graph_may_not_draft")
"""Rows of what is said before a large message is sent, and what Graph says at a draft to show them."""
AT_DRAFT = {
    "http_not_sent": "503 ServiceUnavailable: busy",
    "graph_not_built": "400 ErrorInvalidProperty: no",
    "graph_may_not_draft": "403 ErrorAccessDenied: Access is denied.",
}
RESTING = (Scope.ACCOUNT, Scope.ACCOUNT_FROM, Scope.PATH, Scope.PATH_SITE, Scope.TENANT)
BOUND_S = 40.0 * READY_BOUND_S / 30


def not_by_graph(row: Row) -> str:
    """Why Graph cannot give what the row means; empty when it can."""
    if row.paths and "graph" not in row.paths:
        return "of another path"
    if Stage.HTTP not in row.stages:
        return "of SMTP's dialogue, its transport or a report: Graph answers a request with an HTTP status"
    if row.enhanced or row.reason == "account_mailbox_full":
        return "worded by an enhanced code, which no error of Graph has: it has a row of its own"
    return ""


def left_out(row: Row, path: str = "") -> str:
    """Why no conversation this version holds can show the row; empty when one can."""
    if path == "graph":
        return not_by_graph(row)
    if row.stages and set(row.stages) <= set(LATER):
        return f"only at {'/'.join(row.stages)}"
    if row.paths and not set(SMTP_PATHS) & set(row.paths):
        return f"only on {'/'.join(row.paths)}"
    if row.reason == "mx_elsewhere":
        return "where a name server is needed (tests/integration/test_delivery_mx.py)"
    return ""


def not_on(row: Row, path: str) -> str:
    """Why a conversation on this path cannot show a row that others can; empty when it can."""
    if path == "graph":
        return ""
    if row.paths and path not in row.paths:
        return f"not on {path}"
    return "of which this path has its own form" if row.reason in ANONYMOUS and path in NOBODY_KNOWN else ""


def shown_by(path: str) -> set[str]:
    """Reasons whose rows a conversation on this path can show."""
    return {row.reason for row in TABLE if not left_out(row, path) and not not_on(row, path)}


@dataclass
class Case:
    """One example of one row at one stage."""

    number: int
    row: Row
    stage: Stage
    example: str
    path: str
    overrides: dict = field(default_factory=dict)
    queue_id: str = ""
    seen: dict = field(default_factory=dict)
    """The message as it was when the relay had done what the reply asks for."""

    @property
    def tenant(self) -> str:
        return f"t{self.number}"

    @property
    def domain(self) -> str:
        return f"t{self.number}.test"

    @property
    def sender(self) -> str:
        return f"app@{self.domain}"

    @property
    def source(self) -> str:
        return f"127.1.{self.number // 200}.{self.number % 200 + 1}"

    @property
    def recipient(self) -> str:
        return f"someone@{self.domain if self.path in INSIDE_ONLY else 'example.com'}"

    @property
    def tenant_id(self) -> str:
        return f"id-{self.tenant}"

    @property
    def accounts(self) -> list[str]:
        """Budget scopes of the tenant's ways."""
        if self.path in MAILBOXES:
            return [f"{self.tenant}/{name}@{self.domain}" for name in NAMES]
        return [f"{self.tenant}/{self.path}"]

    def __str__(self) -> str:
        return f"{self.row.reason} on {self.path} at {self.stage}: {self.example[:60]}"

    # -- what the script does

    @property
    def times(self) -> int | None:
        """How often the fault comes: for ever where mail must not get through, else as often as it takes to count."""
        row = self.row
        if (
            row.then is Outcome.BOUNCE
            or row.scope not in (Scope.ACCOUNT, Scope.ACCOUNT_FROM)
            or self.path not in MAILBOXES
        ):
            return None
        again = row.hint is Hint.RECONNECT or (row.hint is Hint.NEW_TOKEN and self.stage is Stage.AUTH)
        return 2 if again else 1

    def step(self) -> dict | None:
        if self.stage not in SPOKEN:
            return None
        if self.stage is Stage.HTTP:
            return self.http_step()
        login = f"*|{self.tenant_id}" if self.path == "acs" else f"*@{self.domain}"
        when = {"account": login} if self.stage is Stage.AUTH else {"sender": self.sender}
        fault = {"cut": True} if self.example.startswith("0 ") else {"reply": self.example}
        return {"at": self.stage.value, "when": when, **fault, **({"times": self.times} if self.times else {})}

    def http_step(self) -> dict:
        """What Graph says to the request, or to the draft of a large message."""
        if self.row.reason in BUILT:
            return {"at": "draft", "when": {"account": f"*@{self.domain}"}, "reply": AT_DRAFT[self.row.reason]}
        limited = {"times": self.times} if self.times else {}
        return {"at": "graph", "when": {"sender": self.sender}, "reply": self.example, **limited}

    @property
    def data(self) -> bytes | None:
        """The message, where not any will do."""
        return large(self.recipient, sender=self.sender) if self.row.reason in BUILT else None

    # -- what must come of it

    @property
    def scope_name(self) -> str:
        """What must rest, by the name operators see, with ACCOUNT for the account of the first attempt."""
        row, kind = self.row, self.path
        whole = {
            Scope.ACCOUNT: "ACCOUNT",
            Scope.ACCOUNT_FROM: f"pair/ACCOUNT|{self.sender}",
            Scope.PATH: f"path/{self.tenant}/{kind}",
            Scope.PATH_SITE: f"site/{self.tenant}/{kind}@",
            Scope.TENANT: f"tenant/{self.tenant}",
        }.get(row.scope, "")
        narrow = {Narrow.EXTERNAL: "#external", Narrow.FROM_DOMAIN: f"#{self.domain}"}.get(row.narrow, "")
        return whole + narrow if whole else ""

    @property
    def final(self) -> str:
        """The recipient's state once the relay has done what the reply asks for."""
        row, rival = self.row, self.path in MAILBOXES
        if Outcome.BOUNCE in (row.outcome, row.then):
            return "bounced"
        if row.outcome is Outcome.HOLD:
            return "held"
        if row.outcome is Outcome.RETRY and self.stage is Stage.AUTH:
            return "waiting"  # for the same account, nothing was said about the mail
        if row.scope in (Scope.ACCOUNT, Scope.ACCOUNT_FROM) and rival:
            return "delivered"  # by the other account
        return "waiting"


def stages_of(row: Row, path: str) -> tuple[Stage, ...]:
    if path == "graph":
        return (Stage.HTTP,)
    if row.reason in USUAL:
        return USUAL[row.reason]
    named = tuple(stage for stage in row.stages if stage not in LATER)
    return named or (Stage.DOT,)


def cases(path: str) -> tuple[list[Case], Counter]:
    """Every row at each of its stages with its first example, the further examples at the first stage."""
    made: list[Case] = []
    without: Counter = Counter()
    for row in TABLE:
        why = left_out(row, path) or not_on(row, path)
        if why:
            without[why] += 1
            continue
        stages = stages_of(row, path)
        for index, example in enumerate(row.examples):
            for stage in stages if index == 0 else stages[:1]:
                made.append(Case(number=len(made), row=row, stage=stage, example=example, path=path))
    return made, without


# -- transport: upstreams that go wrong before anybody has said who he is


class Upstreams:
    """Simulators in a thread of their own, one for each way in which a conversation can fail before the login."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.stack = contextlib.AsyncExitStack()

    def __enter__(self):
        self.thread.start()
        return self

    def run(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(30)

    def faulty(self, *steps: dict, smarthost: bool = False) -> str:
        plain = Directory(smarthost=SmartHost()) if smarthost else None
        simulator = Simulator(plain, steps=read_steps(list(steps), "test"))
        self.run(self.stack.enter_async_context(simulator))
        return f"localhost:{simulator.smtp_port}"

    def __exit__(self, *exc):
        self.run(self.stack.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


CLOSED_PORT = "localhost:1"


def transport(case: Case, upstreams: Upstreams, cloud: Simulated) -> dict | None:
    """The part of a tenant's configuration that makes its example come true; None: another example shows the row."""
    if case.stage is Stage.TOKEN:
        return token(case, cloud)
    kind = case.example.partition(" ")[2]
    before = case.stage in (Stage.CONNECT, Stage.BANNER, Stage.EHLO)
    if case.row.reason == "starttls_missing":
        place = upstreams.faulty(smarthost=True)
    elif case.row.reason == "certificate_refused":
        place = upstreams.faulty()  # an authority of its own, which nobody trusts
    elif kind == "dns":
        place = "nowhere.invalid:587"
    elif kind == "refused" or (case.stage is Stage.CONNECT and kind == "timeout"):
        # The first example of a row is driven at each of its stages; a refused port stands for silence there.
        place = CLOSED_PORT
    elif kind in ("closed", "tls") or (before and kind == "timeout"):
        place = upstreams.faulty({"at": case.stage.value, "cut": True})
    elif kind in ("timeout", "unreachable"):
        return None
    else:
        place = upstreams.faulty({"at": case.stage.value, "reply": case.example})
    return {"cloud": {**cloud.cloud(), "submission": place}}


def token(case: Case, cloud: Simulated) -> dict:
    """Real refusals of the token endpoint, or none at all."""
    unknown = "00000000-0000-4000-8000-00000000dead"
    for sign, change in {
        "AADSTS7000222": {"client_id": f"expired-{case.number}"},
        "AADSTS7000215": {"client_id": f"wrong-{case.number}"},
        "AADSTS700016": {"client_id": unknown},
        "invalid_scope": {"client_id": f"ungranted-{case.number}"},
    }.items():
        if sign in case.example:
            return {"app": change}
    if "AADSTS90002" in case.example:
        return {"id": unknown}
    if case.example.startswith("0 "):
        return {"cloud": {**cloud.cloud(), "authority": f"https://{CLOSED_PORT}"}}
    return {"app": {"client_id": f"scripted-{case.number}"}}


def cloud_directory(made: list[Case]) -> dict:
    tenants = {}
    for case in made:
        apps = {
            CLIENT: {"secrets": [SECRET]},
            f"expired-{case.number}": {"expired_secrets": [SECRET]},
            f"wrong-{case.number}": {"secrets": ["another"]},
            f"ungranted-{case.number}": {"secrets": [SECRET], "permission": False},
            f"scripted-{case.number}": {"secrets": [SECRET]},
        }
        accounts = {f"{name}@{case.domain}": {"send_as": [f"*@{case.domain}"]} for name in NAMES}
        acs = {"senders": [f"*@{case.domain}"], "rate": "1000000/min", "hourly": "1000000/h"}
        tenants[case.tenant_id] = {
            "domains": [case.domain],
            "apps": apps,
            "hve" if case.path == "hve" else "mailboxes": accounts,
            "connectors": [{"networks": ["127.0.0.0/24"]}] if case.path == "connector" else [],
            "acs": {"resource": acs},
        }
    return {"tenants": tenants, "limits": WIDE, "timing": {"time_scale": 50.0}}


def tenant(case: Case, cloud: Simulated, secret: str) -> dict:
    plain = {
        "id": case.tenant_id,
        "domains": [case.domain],
        "app": {"client_id": CLIENT, "secret": {"file": secret}},
        "cloud": cloud.cloud() if case.path in MAILBOXES else "worldwide",
        **way_out(case, cloud),
    }
    app = {**plain["app"], **case.overrides.get("app", {})}
    return {**plain, **case.overrides, "app": app}


def way_out(case: Case, cloud: Simulated) -> dict:
    """The part of a tenant's configuration that is the path's own."""
    mine = {f"{name}@{case.domain}": {"send_as": [f"*@{case.domain}"]} for name in NAMES}
    host = {name: f"localhost:{cloud.ready[name]}" for name in ("mx", "hve", "acs") if name in cloud.ready}
    match case.path:
        case "submission" | "graph":
            return {"service_accounts": {address: {**one, **WIDE_ACCOUNT} for address, one in mine.items()}}
        case "hve":
            accounts = {address: {**one, "sessions": 100} for address, one in mine.items()}
            return {"hve": {"host": host["hve"], "accounts": accounts}}
        case "connector":
            return {"connector": {"host": host["mx"]}}
        case "direct-send":
            return {"direct_send": {"host": host["mx"]}}
        case "acs":
            rates = {"rate": "1000000/min", "hourly": "1000000/h"}
            return {"acs": {"host": host["acs"], "resource": "resource", "senders": [f"*@{case.domain}"], **rates}}
    return {"smarthost": {"host": "127.0.0.1", "port": cloud.ready["smtp"], "tls": "none"}}


def configuration(made: list[Case], cloud: Simulated, home, **changes) -> dict:
    clients = {
        case.tenant: {
            **client(f"{case.source}/32", plan="quick"),
            "senders": [f"*@{case.domain}"],
            "owner": f"owner@{case.domain}",
            "outside_tenant": True,
        }
        for case in made
    }
    secret = str(secret_file(home))
    tenants = {case.tenant: tenant(case, cloud, secret) for case in made}
    plain = settings(cloud, home, {}, clients=clients, tenants=tenants, **changes)
    del plain["tenant"]
    return unshared(plain)


# -- judging


def failures(found: dict, reason: str) -> list[dict]:
    """The journey's lines that tell the reason."""
    return [line for line in found["lines"] if line["detail"].get("reason") == reason]


def first_failure(found: dict, reason: str) -> dict | None:
    return next(iter(failures(found, reason)), None)


def now(found: dict) -> str:
    state = found["recipients"][0]["state"]
    return "waiting" if state in ("queued", "deferred") else state


def reached(node, case: Case) -> bool:
    """Whether the relay has done what the reply asks for; mail that must be tried again is made due at once."""
    found = view(node, case.queue_id)
    if first_failure(found, case.row.reason) is None:
        return False
    if now(found) == "waiting" and case.final == "bounced":
        for scope in standings(node):
            if case.domain in scope or f"/{case.tenant}/" in scope:
                node.post("/v1/accounts/resume", account=scope)
        node.post("/v1/queue/release", filter={"ids": [case.queue_id]})
        return False
    told = failures(found, case.row.reason)
    free = row_waits(case) and case.row.hint is Hint.RECONNECT and "until_ms" not in told[0]["detail"]
    if free and len(told) < 2:
        return False  # the first break of a conversation costs nothing: again at once, on a new connection
    case.seen = found
    return now(found) == case.final


def row_waits(case: Case) -> bool:
    """Whether the row lets the message itself wait, not its way."""
    return case.row.scope in (Scope.MESSAGE, Scope.RECIPIENT, Scope.CONNECTION) and case.final == "waiting"


def faults_of(node, case: Case, rest: dict[str, dict]) -> list[str]:
    """Everything that is not as the row says."""
    row, found, faults = case.row, view(node, case.queue_id), []
    if now(found) == "in_flight":  # the next attempt has begun, as it should after a second
        found = case.seen
    line = first_failure(found, row.reason)
    if line is None:
        return [f"reason is {found['recipients'][0]['last_reason']!r}, reply {found['recipients'][0]['last_reply']!r}"]
    if now(found) != case.final:
        faults.append(f"recipient is {now(found)}, not {case.final}")
    mine = {scope: way for scope, way in rest.items() if belongs(scope, case)}
    if row.scope in RESTING and row.outcome is not Outcome.BOUNCE and row.then is not Outcome.BOUNCE:
        faults += resting_faults(case, found, mine)
    elif mine:
        faults.append(f"rests without cause: {mine}")
    if row_waits(case):
        seen = case.seen or found  # by now it may be under way again, or wait for its turn
        last = failures(seen, row.reason)[-1]
        waits_s = (seen["recipients"][0]["next_attempt_ms"] - last["at_ms"]) / 1000
        if row.schedule and waits_s < row.schedule[0] * 0.99:
            faults.append(f"due after {waits_s} s, not {row.schedule[0]} s")
    if case.stage in (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT, Stage.HTTP) and not case.example.startswith("0 "):
        if line["detail"].get("stage") != case.stage:
            faults.append(f"stage {line['detail'].get('stage')}")
        if case.example[:3] not in line["detail"].get("reply", ""):
            faults.append(f"reply {line['detail'].get('reply')}")
    return faults


def belongs(scope: str, case: Case) -> bool:
    parts = scope.replace("#", "/").replace("|", "/").split("/")
    return case.tenant in parts


def resting_faults(case: Case, found: dict, mine: dict[str, dict]) -> list[str]:
    row, faults = case.row, []
    wanted = {case.scope_name.replace("ACCOUNT", account) for account in case.accounts}
    hit = {scope: way for scope, way in mine.items() if any(scope.startswith(one) for one in wanted)}
    if not hit:
        faults.append(f"none of {sorted(wanted)} rests, but {sorted(mine)}")
    state = "parked" if row.park else "resting"
    for scope, way in hit.items():
        if (way["state"], way["reason"]) != (state, row.reason):
            faults.append(f"{scope} is {way['state']} for {way['reason']}")
    others = set(mine) - set(hit)
    stopped = {f"client/{case.tenant}"} if row.stops_client else set()
    if others != stopped:
        faults.append(f"rests besides: {others}, wanted {stopped}")
    if row.schedule and not row.park and hit:
        way = next(iter(hit.values()))
        line = first_failure(found, row.reason)
        lasts_s = (way["until_ms"] - line["at_ms"]) / 1000
        if not row.schedule[0] - 2 <= lasts_s <= row.schedule[0] * 1.3 + 2:
            faults.append(f"rests {lasts_s:.0f} s, not {row.schedule[0]:.0f} s")
    return faults


def drive(node, made: list[Case]) -> dict[str, list[str]]:
    """Hand in a message for each case, let the relay act, and tell what is wrong, by case."""
    port = node.port()
    for case in made:
        case.queue_id = hand_in(port, case.sender, case.recipient, case.data, source=case.source)
    end = time.monotonic() + BOUND_S
    pending = list(made)
    while pending and time.monotonic() < end:
        pending = [case for case in pending if not reached(node, case)]
        time.sleep(0.05)
    rest = standings(node)
    found = {str(case): faults_of(node, case, rest) for case in made}
    return {name: faults for name, faults in found.items() if faults}


def everything_arrives(node, clouds: list[Simulated], made: list[Case], unreachable: set[str]) -> None:
    """Once the faults are over and rests ended, whatever was not bounced is delivered: no reply loses mail."""
    for cloud in clouds:
        cloud.script()
    for scope in standings(node):
        node.post("/v1/accounts/resume", account=scope)
    node.post("/v1/queue/release", filter={"states": ["queued", "deferred", "held"]}, all=True)
    for case in made:
        if case.final != "bounced" and case.tenant not in unreachable:
            until(lambda case=case: view(node, case.queue_id)["recipients"][0]["state"] == "delivered")


def reports(cloud: Simulated, case: Case) -> int:
    return sum(one["recipients"] == [case.sender] for one in cloud.receipts())


def told(title: str, made: list[Case], without: Counter, wrong: dict) -> str:
    rows = {case.row.reason for case in made}
    lines = [f"\n{title}: {len(rows)} of {len(TABLE)} rows in {len(made)} conversations, {len(wrong)} wrong"]
    lines += [f"  left out: {count} rows {why}" for why, count in sorted(without.items())]
    return "\n".join(lines)


@pytest.mark.timeout(300)
def test_every_row_through_submission(tmp_path):
    made, without = cases("submission")
    with contextlib.ExitStack() as stack:
        upstreams = stack.enter_context(Upstreams())
        cloud = stack.enter_context(Simulated(tmp_path / "sim", cloud_directory(made)))
        early = {}
        for case in list(made):
            if case.stage in SPOKEN:
                continue
            changes = transport(case, upstreams, cloud)
            if changes is None:
                made.remove(case)
                continue
            case.overrides, early[case.tenant] = changes, case
        scripted = [{"at": "token", "when": {"account": f"scripted-{case.number}"}, "reply": case.example}
                    for case in early.values() if "scripted" in str(case.overrides)]  # fmt: skip
        steps = [step for case in made if (step := case.step()) is not None]
        cloud.script(*scripted, *steps)
        node = relay(cloud, tmp_path / "node", {})
        node.config |= configuration(made, cloud, tmp_path / "node")
        del node.config["tenant"]
        stack.enter_context(node)
        wrong = drive(node, made)
        print(told("submission", made, without, wrong))
        assert not wrong, "\n".join(f"{name}: {faults}" for name, faults in wrong.items())
        bounced = [case for case in made if case.final == "bounced"]
        for case in bounced:
            until(lambda case=case: reports(cloud, case) == 1)
        everything_arrives(node, [cloud], made, set(early))
        assert {case.row.reason for case in made} == shown_by("submission")


BEFORE = (Stage.CONNECT, Stage.BANNER, Stage.EHLO, Stage.TLS, Stage.TOKEN)
"""What fails before anybody has said who he is, fails alike on every path: shown through submission."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", [path for path in SMTP_PATHS if path != "submission"])
def test_every_row_through_the_other_paths(tmp_path, path):
    made, without = after_the_greeting(path)
    sweep(tmp_path, path, made, without)


def after_the_greeting(path: str) -> tuple[list[Case], Counter]:
    """Cases of a path that come once somebody has said who he is, and why rows are left out."""
    made, without = cases(path)
    unsaid = {*BEFORE, Stage.AUTH} if path in NO_LOGIN else set(BEFORE)
    made = [case for case in made if case.stage not in unsaid]
    shown = {case.row.reason for case in made}
    without["shown through submission (before MAIL)"] = len(shown_by(path) - shown)
    early = {row.reason for row in TABLE if set(row.stages) & unsaid}
    assert shown_by(path) - shown <= early | set(EARLY)
    return made, without


def sweep(home, path: str, made: list[Case], without: Counter) -> None:
    """Drive the cases on one relay with one simulator, and judge them."""
    with contextlib.ExitStack() as stack:
        plain = {"smarthost": {}} if path == "smarthost" else cloud_directory(made)
        cloud = stack.enter_context(Simulated(home / "sim", plain))
        cloud.script(*(case.step() for case in made))
        node = relay(cloud, home / "node", {})
        outside = ["smarthost"] if path in INSIDE_ONLY else [path]
        node.config |= configuration(made, cloud, home / "node", routes={"internal": [path], "external": outside})
        del node.config["tenant"]
        if path in INSIDE_ONLY:  # the route to the outside must lead somewhere
            for one in node.config["tenants"].values():
                one["smarthost"] = {"host": "localhost", "port": 1}
        stack.enter_context(node)
        wrong = drive(node, made)
        print(told(path, made, without, wrong))
        assert not wrong, "\n".join(f"{name}: {faults}" for name, faults in wrong.items())
        everything_arrives(node, [cloud], made, set())


@pytest.mark.timeout(300)
def test_every_row_that_graph_can_give(tmp_path):
    made, without = cases("graph")
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(Simulated(tmp_path / "sim", cloud_directory(made)))
        cloud.script(*(case.step() for case in made))
        node = relay(cloud, tmp_path / "node", {})
        routes = {"internal": ["graph"], "external": ["graph"]}
        node.config |= configuration(made, cloud, tmp_path / "node", routes=routes)
        node.config["plans"]["quick"]["rebuild"] = True
        del node.config["tenant"]
        stack.enter_context(node)
        wrong = drive(node, made)
        print(told("graph", made, without, wrong))
        assert not wrong, "\n".join(f"{name}: {faults}" for name, faults in wrong.items())
        everything_arrives(node, [cloud], made, set())
        assert {case.row.reason for case in made} == shown_by("graph")


def test_every_row_of_an_http_answer_is_shown_or_named():
    """The rows SMTP cannot show are those Graph shows, reports, or a path this version speaks another way."""
    unshown = {row.reason for row in TABLE if left_out(row)} - shown_by("graph")
    named = {row.reason for row in TABLE if row.stages and set(row.stages) <= {Stage.NDR}}
    # ACS answers HTTP with 429; this version speaks SMTP to it, where its rate shows as a reply of SMTP's.
    assert unshown - named == {"acs_throttled", "mx_elsewhere"}
