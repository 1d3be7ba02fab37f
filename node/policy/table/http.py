"""Paths over HTTP (facts m365 §4.9); the codes are HTTP statuses. A Retry-After header overrides the first rest."""

from typing import Final

from node.policy.reply import Stage
from node.policy.table.row import HOUR, MINUTE, Row
from node.policy.verdict import Hint, Outcome, Scope

_GRAPH: Final = ("graph",)
_ACS: Final = ("acs",)

ROWS: Final = (
    Row(
        reason="graph_throttled",
        scope=Scope.ACCOUNT,
        outcome=Outcome.RETRY,
        source="m365 §4.9 row 1",
        codes=(429,),
        stages=(Stage.HTTP,),
        paths=_GRAPH,
        schedule=(10.0, 20.0, 40.0, 80.0, 160.0, 5 * MINUTE),
        examples=("429 TooManyRequests: Application is over its MailboxConcurrency limit.", "429 Too Many Requests"),
    ),
    Row(
        reason="graph_bad_mime",
        scope=Scope.MESSAGE,
        outcome=Outcome.HOLD,
        source="m365 §4.9 row 2",
        codes=(400,),
        text=("errormimecontentinvalidbase64string",),
        stages=(Stage.HTTP,),
        paths=_GRAPH,
        alert=True,
        examples=("400 ErrorMimeContentInvalidBase64String: Invalid base64 string for MIME content.",),
    ),
    Row(
        reason="graph_token_refused",
        scope=Scope.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.9 row 3",
        codes=(401,),
        stages=(Stage.HTTP,),
        paths=_GRAPH,
        schedule=(5 * MINUTE, 15 * MINUTE, HOUR),
        alert=True,
        hint=Hint.NEW_TOKEN,
        examples=("401 InvalidAuthenticationToken: Access token has expired or is not yet valid.",),
    ),
    Row(
        reason="graph_forbidden",
        scope=Scope.ACCOUNT_FROM,
        outcome=Outcome.SWITCH,
        source="m365 §4.9 row 4",
        codes=(403,),
        stages=(Stage.HTTP,),
        paths=_GRAPH,
        schedule=(15 * MINUTE, 4 * HOUR),
        alert=True,
        examples=(
            "403 ErrorAccessDenied: Access is denied. Check credentials and try again.",
            "403 ErrorSendAsDenied: The user account does not have the right to send as this mailbox.",
        ),
    ),
    Row(
        reason="graph_no_mailbox",
        scope=Scope.ACCOUNT,
        outcome=Outcome.SWITCH,
        source="m365 §4.9 row 5",
        codes=(404,),
        stages=(Stage.HTTP,),
        paths=_GRAPH,
        schedule=(HOUR,),
        alert=True,
        examples=(
            "404 MailboxNotEnabledForRESTAPI: The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
        ),
    ),
    Row(
        reason="graph_too_large",
        scope=Scope.MESSAGE,
        outcome=Outcome.SWITCH,
        source="m365 §4.9 row 6",
        codes=(413,),
        stages=(Stage.HTTP,),
        paths=_GRAPH,
        schedule=(MINUTE,),
        then=Outcome.BOUNCE,
        examples=("413 Request Entity Too Large",),
    ),
    Row(
        reason="graph_message_size",
        scope=Scope.MESSAGE,
        outcome=Outcome.SWITCH,
        source="m365 §4.9 row 6",
        codes=(4,),
        any_text=("errormessagesizeexceeded", "message size"),
        stages=(Stage.HTTP,),
        paths=_GRAPH,
        schedule=(MINUTE,),
        then=Outcome.BOUNCE,
        examples=("400 ErrorMessageSizeExceeded: The message exceeds the maximum supported size.",),
    ),
    Row(
        reason="graph_unknown_outcome",
        scope=Scope.MESSAGE,
        outcome=Outcome.UNKNOWN,
        source="m365 §4.9 row 7 (look for the Message-ID before sending again)",
        codes=(5,),
        stages=(Stage.HTTP,),
        paths=_GRAPH,
        examples=("503 ServiceUnavailable", "504 Gateway Timeout"),
    ),
    Row(
        reason="acs_throttled",
        scope=Scope.PATH,
        outcome=Outcome.RETRY,
        source="m365 §4.9 row 8",
        codes=(429,),
        stages=(Stage.HTTP,),
        paths=_ACS,
        schedule=(MINUTE, 5 * MINUTE, 15 * MINUTE),
        examples=("429 Too Many Requests",),
    ),
)
