"""Rows and verdicts of the reply table in words, for ``route explain --reply`` and ``docs/replies.md``. Pure."""

import re

from node.policy.reply import Reply, reply_from
from node.policy.table.row import CLASS_DIGITS, Row
from node.policy.verdict import Hint, Narrow, Outcome, Scope
from node.settings.units import format_duration

_LINE = re.compile(r"([0-9]{3}|0)(?:[ -](.*))?", re.DOTALL)

BECOMES = {
    Outcome.DELIVERED: "delivered",
    Outcome.RETRY: "deferred; tried again the same way",
    Outcome.SWITCH: "deferred; another account or path may take it at once",
    Outcome.BOUNCE: "bounced; the sender is told, where a report is due",
    Outcome.HOLD: "held until a person releases it",
    Outcome.UNKNOWN: "unknown; the plan's on_unknown decides: resend, bounce or verify",
}
RESTS = {
    Scope.RECIPIENT: "only this recipient",
    Scope.MESSAGE: "only this message",
    Scope.ACCOUNT_FROM: "the account together with this From",
    Scope.ACCOUNT: "the account",
    Scope.PATH_SITE: "the path as seen from this site",
    Scope.PATH: "the path, with all its accounts",
    Scope.TENANT: "the whole tenant",
    Scope.CONNECTION: "only this connection",
}
HINTS = {
    Hint.NONE: "",
    Hint.NEW_TOKEN: "first a new token and one more login",
    Hint.RECONNECT: "first once more at once on a new connection",
    Hint.SPLIT: "recipients accepted so far are kept, the others follow in a new transaction",
    Hint.ALONE: "each recipient is tried in a transaction of its own",
    Hint.FEWER_SLOTS: "one session fewer for a minute",
    Hint.IPV4: "its hosts are dialled by IPv4 only for four hours",
    Hint.SLOWER: "half of the connections, where the path publishes no limits",
}
NARROWS = {
    Narrow.ALL: "",
    Narrow.EXTERNAL: "only its mail to the outside",
    Narrow.FROM_DOMAIN: "only its mail from this sender domain",
    Narrow.PATH: "only on this path",
}


def reply_of(text: str) -> Reply:
    r"""Read a reply as an upstream words it, several lines joined by newlines or ``\n``; code 0: no answer came.

    Raises ValueError naming the form expected.
    """
    lines = text.replace("\\n", "\n").splitlines()
    found = [_LINE.fullmatch(line.strip()) for line in lines if line.strip()]
    first = found[0] if found else None
    if first is None or not all(found):
        raise ValueError(
            f"{text[:80]!r}: expected three digits and a text, such as '550 5.7.64 TenantAttribution', "
            "or 0 and what failed, such as '0 timeout'"
        )
    return reply_from(int(first[1]), "\n".join(match[2] or "" for match in found if match is not None))


def conditions(row: Row) -> str:
    """Say which replies a row means, shortest form first."""
    parts = [_codes(row.codes)] if row.codes else []
    parts += [" or ".join(row.enhanced)] if row.enhanced else []
    parts += [" and ".join(f"“{piece}”" for piece in row.text)] if row.text else []
    parts += [" or ".join(f"“{piece}”" for piece in row.any_text)] if row.any_text else []
    parts += ["at " + ", ".join(stage.value for stage in row.stages)] if row.stages else []
    parts += ["on " + ", ".join(row.paths)] if row.paths else []
    return "; ".join(parts) or "any reply"


def _codes(codes: tuple[int, ...]) -> str:
    words = ["no answer" if code == 0 else f"{code}xx" if code < CLASS_DIGITS else str(code) for code in codes]
    return " or ".join(words)


def cool_down(row: Row) -> str:
    """Say how long the scope rests: by the first, second, ... time; ``parked`` until a person resumes it."""
    if row.park:
        return "until resumed"
    return ", ".join(format_duration(seconds) for seconds in row.schedule) or "none"


def outcome(row: Row) -> str:
    """Say what becomes of the recipient: now, and after the same again."""
    if row.then is None:
        return row.outcome.value
    times = "once" if row.tries == 1 else f"{row.tries} times"
    return f"{row.outcome.value}; after {times} {row.then.value}"


def notes(row: Row) -> tuple[str, ...]:
    """Say what else a row does."""
    found = (
        HINTS[row.hint],
        NARROWS[row.narrow],
        "a person must act" if row.alert else "",
        "on several accounts alike it counts for their path" if row.widens else "",
        "the client's mail stops until `client resume`" if row.stops_client else "",
    )
    return tuple(text for text in found if text)
