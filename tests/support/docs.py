"""The generated parts of docs/: tables of keys, replies, metrics, spans, attributes and log fields.

``python -m tests.support.docs`` writes them between their marks; a test checks that they are current. What is found
in the code but has no meaning written here fails the test, so that nothing is reported that nobody can look up.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from node.cli.verdicts import conditions, cool_down, notes, outcome
from node.policy.table import TABLE, account, front_end, http, login, message, path, recipient, tenant, transport
from node.policy.table.defaults import DEFAULTS, DELIVERED, GARBLED, LOST_ANSWER
from node.policy.table.row import Row
from node.settings.reload import why_restart
from node.settings.schema import describe, keys_at
from node.telemetry.names import CATALOGUE

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SECRET_KEYS = {"file", "credential", "env"}
NAMED = "NAME"

SPANS = {
    "relay.receive": "one message at the door, MAIL to 250; child of the client's `traceparent` if that is trusted",
    "relay.commit": "from the final dot until the message is durable",
    "relay.shadow": "from append until durable on the other machine, inside `relay.receive`",
    "relay.adopt": "one message taken over from a node that is gone, or brought back; always recorded",
    "relay.queue": "from when a recipient was due until an attempt began",
    "relay.attempt": "one transaction upstream, waiting for a permit included; an error names the reason",
    "relay.permit": "the wait for budget before the attempt",
    "relay.connect": "name look-up, TCP, TLS and EHLO of a new connection",
    "relay.auth": "token and login of a new connection",
    "relay.transfer": "MAIL to the final reply",
    "relay.deferred": "event of `relay.attempt`: recipients were put off, how many and for how long",
    "relay.bounce": "a delivery report written into the queue; the report's own spans follow it",
    "relay.ndr": "a report that what was delivered failed after all; linked to the attempt that had delivered",
}
ATTRIBUTES = {
    "relay.id": "queue id, on the door's spans",
    "relay.queue_id": "queue id",
    "relay.report_id": "queue id of the report written",
    "relay.attempt_id": "id of the attempt, as in the journey",
    "relay.node": "name of the node",
    "relay.role": "`node` or `intake` (resource)",
    "relay.cluster": "name of the cluster (resource)",
    "relay.shadow": "node that keeps the copy; empty: none does",
    "relay.outcome": "of the copy: `copied`, `unprotected`, `refused`",
    "relay.from": "node that had accepted the message, or brought it back",
    "relay.epoch": "epoch of the pairing a message belongs to; 0: it lies here alone",
    "relay.came": "how a report came: `return_path` or `mailbox`",
    "relay.client": "client rule",
    "relay.listener": "listener",
    "relay.size_bytes": "size as stored",
    "relay.recipients": "number of recipients",
    "relay.tls": "TLS version of the client's session; empty in clear",
    "relay.path": "path kind",
    "relay.account": "budget scope of the account",
    "relay.rank": "place of the path in the route, 0 the first: above it a path was failed over from",
    "relay.way_before": "`path:account` of the attempt before, if it was another",
    "relay.retry_in_s": "seconds until the first of the recipients put off is due again",
    "relay.outside_tenant": "the path leads outside the tenant's journaling and rules",
    "relay.message_id_hash": "keyed hash of the Message-ID",
    "relay.reply_code": "code of the last reply",
    "relay.enhanced_code": "enhanced code of the last reply",
    "relay.reason": "what the reply means (replies.md)",
    "relay.scope": "whom the reply concerns",
    "relay.stage": "where the conversation ended",
    "error.type": "what went wrong: reason of an attempt, stage of a connection (OpenTelemetry's name)",
    "server.address": "host connected to (OpenTelemetry's name)",
    "server.port": "its port (OpenTelemetry's name)",
    "relay.sender": "envelope sender, only with `telemetry.addresses`",
    "relay.to": "recipients, only with `telemetry.addresses`",
}
KINDS = ("relay.", "server.", "error.")
LOG_FIELDS = {
    "entry": "number of the entry in the audit",
    "hash": "its hash, the head of the chain",
    "account": "account or scope an operator parked or resumed",
    "action": "what an operator did",
    "actor": "who did it, as `relayctl` names them",
    "address": "keyed hash of an address that is erased",
    "approval": "id of what waited for a second person",
    "asked_by": "who asked for what a second person approved",
    "erasure": "id of an order to erase an address",
    "kind": "what needs a second person: delete, disaster, erase",
    "waiting": "nodes that are not done erasing",
    "alarm": "true for what an operator should look at",
    "cause": "the error behind it",
    "changed": "number of recipients or messages changed",
    "clocks": "number of other clocks heard",
    "disk_free": "bytes free where the spool lies",
    "missing": "nodes that did not answer",
    "node": "name of the node",
    "nodes": "how many messages changed, by node",
    "offset_ms": "the other clocks minus this node's, by their median",
    "path": "HTTP path of the administration request",
    "permanent": "whether a person must act before it works again",
    "queue_id": "queue id",
    "reason": "word for why",
    "report": "number of a report kept aside, when it was exported",
    "scope": "scope whose standing changed",
    "source": "address a refused sign-in came from",
    "state": "its state: healthy, resting, probing, parked",
    "tenant": "tenant",
    "until_ms": "end of its rest, ms since 1970; 0 if a person must act",
    "why": "reason an operator gave",
}
SECTIONS = (
    ("Transport: no answer, DNS, TLS, tokens", transport.ROWS),
    ("Front end: connection limits, throttling, proxies", front_end.ROWS),
    ("Login", login.ROWS),
    ("Account: limits and blocks of a mailbox", account.ROWS),
    ("Message", message.ROWS),
    ("Recipient", recipient.ROWS),
    ("Path and connector", path.ROWS),
    ("Tenant", tenant.ROWS),
    ("HTTP", http.ROWS),
)


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Give a Markdown table; pipes and line breaks in cells are made harmless."""
    head = list(head)
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(_cell(str(cell)) for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(text: str) -> str:
    """Escape what Markdown would read as markup, outside of code."""
    parts = text.replace("|", "\\|").replace("\n", " ").split("`")
    return "`".join(
        re.sub(r"([*<])", r"\\\1", part) if n % 2 == 0 and "**" not in part else part for n, part in enumerate(parts)
    )


# -- configuration


def keys_block() -> str:
    """Every key of the configuration: form, default, meaning, and what a reload does."""
    parts = []
    for top in sorted(set(keys_at(())) - {"tenant"}):
        rows = list(_keys((top,)))
        parts.append(f"### `{top}`\n\n" + table(("Key", "Takes", "Default", "Meaning", "On reload"), rows))
    return "\n\n".join(parts)


def _keys(at: tuple[str | int, ...]) -> Iterator[tuple[str, str, str, str, str]]:
    key = describe(at)
    assert key is not None, at
    secret = set(key.keys) == SECRET_KEYS
    form = "secret: `{file: …}`, `{credential: …}` or `{env: …}`" if secret else key.form
    default = "**must be given**" if key.required else _default(key.default)
    yield f"`{_dotted(at)}`", form, default, key.meaning, "restart" if why_restart(at) else ""
    if secret:
        return
    for below in ((), (NAMED,), (0,)):
        found = keys_at((*at, *below))
        if found:
            for name in found:
                yield from _keys((*at, *below, name))
            return


def _dotted(at: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if part == 0 else f".{part}" for part in at).replace("[0]", "[]").lstrip(".")


def _default(value: object) -> str:
    if value is None or value in ({}, []):
        return ""
    if isinstance(value, dict):
        return "see below"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value, ensure_ascii=False)}`"


# -- replies


def replies_block() -> str:
    """Every row of the reply table, by section, then what replies of no row mean."""
    listed = [row for _, rows in SECTIONS for row in rows]
    missing = [row.reason for row in TABLE if row not in listed]
    assert not missing, f"no section holds {missing}"
    parts = [f"### {title}\n\n{_rows(rows)}" for title, rows in SECTIONS if rows]
    parts.append(f"### Replies no row knows\n\n{_rows((*DEFAULTS, LOST_ANSWER, GARBLED, DELIVERED))}")
    return "\n\n".join(parts)


def _rows(rows: Iterable[Row]) -> str:
    head = ("Reason", "Matches", "Concerns", "Outcome", "Cool-down", "Besides", "Source")
    return table(
        head,
        (
            (
                f"`{row.reason}`",
                conditions(row),
                row.scope.value,
                outcome(row),
                cool_down(row),
                "; ".join(notes(row)),
                row.source,
            )
            for row in rows
        ),
    )


# -- telemetry


def metrics_block() -> str:
    """The catalogue of metrics."""
    return table(
        ("Metric", "Kind", "Unit", "Labels", "Meaning"),
        (
            (
                f"`{one.name}`",
                one.kind.value,
                f"`{one.unit}`",
                " ".join(f"`{label}`" for label in one.labels),
                one.meaning,
            )
            for one in CATALOGUE
        ),
    )


def spans_block() -> str:
    """The spans."""
    return table(("Span", "Covers"), ((f"`{name}`", meaning) for name, meaning in SPANS.items()))


def attributes_block() -> str:
    """The attributes of spans and of the resource."""
    return table(("Attribute", "Meaning"), ((f"`{name}`", meaning) for name, meaning in ATTRIBUTES.items()))


def log_block() -> str:
    """The fields log lines carry besides the usual ones."""
    found = log_fields()
    return table(("Field", "Meaning"), ((f"`{name}`", LOG_FIELDS.get(name, "?")) for name in sorted(found)))


def spans_in_code() -> set[str]:
    """Names of spans in the code: given to a span, an event of one, a phase or ``_child``."""
    found = set()
    for call in _calls():
        name = _called(call)
        values = [keyword.value for keyword in call.keywords if keyword.arg == "name"] + list(call.args[:2])
        if name in ("FinishedSpan", "SpanEvent", "Phase", "_child"):
            found |= {v.value for v in values if isinstance(v, ast.Constant) and str(v.value).startswith("relay.")}
    return found


def attributes_in_code() -> set[str]:
    """Names of attributes in the code: keys of dictionaries, and subscripts."""
    found = set()
    for item in _nodes():
        keys: list[ast.expr | None] = []
        if isinstance(item, ast.Dict):
            keys = item.keys
        elif isinstance(item, ast.Subscript):
            keys = [item.slice]
        found |= {k.value for k in keys if isinstance(k, ast.Constant) and str(k.value).startswith(KINDS)}
    return found


def log_fields() -> set[str]:
    """Keys of ``extra=`` in calls of loggers and of ``facts=`` in deeds, which end there; names are looked up."""
    found = set()
    for tree in _trees():
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            dicts = {
                target.id: item.value
                for item in ast.walk(function)
                if isinstance(item, ast.Assign) and isinstance(item.value, ast.Dict)
                for target in item.targets
                if isinstance(target, ast.Name)
            }
            for call in ast.walk(function):
                called = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
                wanted = "extra" if called.startswith("_log.") else "facts" if called == "Deed" else None
                for keyword in call.keywords if wanted else ():
                    if keyword.arg == wanted:
                        found |= _keys_given(keyword.value, dicts)
    return {str(name) for name in found}


def _keys_given(value: ast.expr, dicts: dict[str, ast.Dict]) -> set[object]:
    """Keys of a dictionary, of one named in the same function, or of two made one by ``|``."""
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr):
        return _keys_given(value.left, dicts) | _keys_given(value.right, dicts)
    given = dicts.get(getattr(value, "id", ""), value)
    assert isinstance(given, ast.Dict), ast.unparse(value)
    return {key.value for key in given.keys if isinstance(key, ast.Constant)}


def _trees() -> Iterator[ast.Module]:
    for file in sorted(ROOT.glob("node/**/*.py")):
        if "rehearsal" not in file.parts:
            yield ast.parse(file.read_text("utf-8"))


def _nodes() -> Iterator[ast.AST]:
    for tree in _trees():
        yield from ast.walk(tree)


def _calls() -> Iterator[ast.Call]:
    return (item for item in _nodes() if isinstance(item, ast.Call))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


# -- files

BLOCKS = {
    "configuration.md": {"keys": keys_block},
    "replies.md": {"replies": replies_block},
    "telemetry.md": {
        "metrics": metrics_block,
        "spans": spans_block,
        "attributes": attributes_block,
        "log": log_block,
    },
}


def current(name: str) -> str:
    """Give a document as it should stand: what is between its marks made anew."""
    text = (DOCS / name).read_text("utf-8")
    for block, make in BLOCKS[name].items():
        pattern = re.compile(rf"(<!-- generated: {block} -->\n).*?(<!-- end -->)", re.DOTALL)
        made = make()
        text, count = pattern.subn(lambda match, made=made: f"{match[1]}\n{made}\n\n{match[2]}", text)
        assert count == 1, f"{name}: expected one block {block!r}, found {count}"
    return text


def main() -> None:
    """Write every document anew."""
    for name in BLOCKS:
        (DOCS / name).write_text(current(name), "utf-8")


if __name__ == "__main__":
    main()
