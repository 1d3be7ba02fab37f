"""What replies no row knows mean (facts m365 §4.10), first match wins. Their reasons start with ``unclassified``.

A 5xx before MAIL, and 530 anywhere, says nothing about a message and never bounces one (§4.1, rule 4).
"""

from typing import Final

from node.policy.reply import Stage
from node.policy.table.row import HOUR, MINUTE, Row
from node.policy.verdict import Narrow, Outcome, Scope

_SOURCE: Final = "m365 §4.10"
_FOUR: Final = (MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE)
_PARKING: Final = (15 * MINUTE, HOUR, 4 * HOUR)
_OPENING: Final = (Stage.CONNECT, Stage.BANNER, Stage.EHLO, Stage.TLS)


def _row(reason: str, scope: Scope, outcome: Outcome, code: int, *stages: Stage, **more: object) -> Row:
    fields = {"reason": f"unclassified_{reason}", "scope": scope, "outcome": outcome, "source": _SOURCE}
    return Row(**fields, codes=(code,), stages=stages, **more)  # type: ignore[arg-type]


DEFAULTS: Final = (
    _row("ndr", Scope.RECIPIENT, Outcome.BOUNCE, 5, Stage.NDR),
    _row("ndr", Scope.RECIPIENT, Outcome.BOUNCE, 4, Stage.NDR),
    _row("login_demanded", Scope.ACCOUNT, Outcome.SWITCH, 530, schedule=_PARKING, alert=True, narrow=Narrow.PATH),
    _row("token_5xx", Scope.PATH, Outcome.SWITCH, 5, Stage.TOKEN, schedule=_FOUR),
    _row("token_4xx", Scope.PATH, Outcome.SWITCH, 4, Stage.TOKEN, schedule=_FOUR, alert=True),
    _row(
        "login_5xx",
        Scope.ACCOUNT,
        Outcome.SWITCH,
        5,
        Stage.AUTH,
        schedule=_PARKING,
        alert=True,
        narrow=Narrow.PATH,
    ),
    _row("opening_5xx", Scope.PATH_SITE, Outcome.SWITCH, 5, *_OPENING, schedule=_FOUR, alert=True),
    _row("opening_4xx", Scope.CONNECTION, Outcome.RETRY, 4, *_OPENING, Stage.AUTH, schedule=_FOUR),
    _row("http_5xx", Scope.MESSAGE, Outcome.UNKNOWN, 5, Stage.HTTP),
    _row("http_4xx", Scope.MESSAGE, Outcome.SWITCH, 4, Stage.HTTP, schedule=_FOUR, then=Outcome.BOUNCE),
    _row(
        "mail_5xx", Scope.ACCOUNT_FROM, Outcome.SWITCH, 5, Stage.MAIL, schedule=(60.0, *_PARKING), then=Outcome.BOUNCE
    ),
    _row("recipient_5xx", Scope.RECIPIENT, Outcome.BOUNCE, 5, Stage.RCPT),
    _row("message_5xx", Scope.MESSAGE, Outcome.SWITCH, 5, schedule=_FOUR, then=Outcome.BOUNCE),
    _row("recipient_4xx", Scope.RECIPIENT, Outcome.RETRY, 4, Stage.RCPT, schedule=_FOUR),
    _row("message_4xx", Scope.MESSAGE, Outcome.RETRY, 4, schedule=_FOUR),
)

LOST_ANSWER: Final = Row(
    reason="answer_lost",
    scope=Scope.CONNECTION,
    outcome=Outcome.UNKNOWN,
    source="design §1 I5, m365 §6",
    codes=(0, 1, 3),
    stages=(Stage.DOT, Stage.HTTP),
    examples=("0 closed", "0 timeout"),
)
GARBLED: Final = Row(
    reason="garbled_reply",
    scope=Scope.CONNECTION,
    outcome=Outcome.RETRY,
    source="RFC 5321 §4.2.1",
    schedule=_FOUR,
)
DELIVERED: Final = Row(
    reason="delivered",
    scope=Scope.RECIPIENT,
    outcome=Outcome.DELIVERED,
    source="RFC 5321 §4.2.1",
    codes=(2,),
    stages=(Stage.DOT, Stage.HTTP),
)
