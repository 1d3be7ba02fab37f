"""Failures without a reply: the connection did not come about, or ended before an answer (facts m365 §4.2 row 1, §6).

The caller gives them as a reply with code 0 whose text is the kind: ``refused``, ``timeout``, ``unreachable``, ``dns``,
``closed``, ``tls``, ``certificate``, ``starttls_missing``, ``protocol``. After the final dot every one of them means
*unknown*; ``classify`` sees to that before any row is looked at.
"""

from typing import Final

from node.policy.reply import Stage
from node.policy.table.row import HOUR, MINUTE, Row
from node.policy.verdict import Hint, Outcome, Scope

_REST: Final = (30.0, MINUTE, 2 * MINUTE, 5 * MINUTE)

ROWS: Final = (
    Row(
        reason="connect_failed",
        scope=Scope.CONNECTION,
        outcome=Outcome.RETRY,
        source="m365 §4.2 row 1",
        codes=(0,),
        stages=(Stage.CONNECT, Stage.BANNER, Stage.EHLO),
        schedule=_REST,
        examples=("0 timeout", "0 refused", "0 unreachable", "0 closed"),
    ),
    Row(
        reason="name_not_resolved",
        scope=Scope.CONNECTION,
        outcome=Outcome.RETRY,
        source="operations §1 (DNS failure)",
        codes=(0,),
        stages=(Stage.CONNECT,),
        text=("dns",),
        schedule=_REST,
        examples=("0 dns",),
    ),
    Row(
        reason="mx_elsewhere",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="m365 §1.1 B (the connector is at the tenant's MX); operations §5 (name always verified)",
        codes=(0,),
        stages=(Stage.CONNECT,),
        text=("mx_elsewhere",),
        schedule=(5 * MINUTE, 15 * MINUTE, HOUR),
        alert=True,
        examples=("0 mx_elsewhere contoso.com: mx.gateway.example",),
    ),
    Row(
        reason="tls_failed",
        scope=Scope.CONNECTION,
        outcome=Outcome.RETRY,
        source="m365 §4.2 row 1",
        codes=(0,),
        stages=(Stage.TLS,),
        schedule=_REST,
        examples=("0 tls", "0 closed"),
    ),
    Row(
        reason="certificate_refused",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="operations §5 (man in the middle towards Microsoft)",
        codes=(0,),
        stages=(Stage.CONNECT, Stage.TLS),
        any_text=("certificate",),
        schedule=(5 * MINUTE, 15 * MINUTE),
        alert=True,
        examples=("0 certificate",),
    ),
    Row(
        reason="starttls_missing",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="operations §5 (STARTTLS absent = fail)",
        codes=(0,),
        stages=(Stage.EHLO, Stage.TLS),
        any_text=("starttls_missing",),
        schedule=(5 * MINUTE, 15 * MINUTE),
        alert=True,
        examples=("0 starttls_missing",),
    ),
    Row(
        reason="token_unreachable",
        scope=Scope.PATH_SITE,
        outcome=Outcome.RETRY,
        source="m365 §3.3 (if Entra is down: queue, never bounce); operations M10 (it may be one site's proxy)",
        codes=(0, 5, 429),
        stages=(Stage.TOKEN,),
        schedule=(15.0, 30.0, MINUTE, 5 * MINUTE),
        examples=("0 timeout", "0 refused", "503 Service Unavailable", "429 Too Many Requests"),
    ),
    Row(
        reason="app_refused",
        scope=Scope.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §3.3 (Entra errors to tell apart)",
        codes=(0, 4),
        stages=(Stage.TOKEN,),
        any_text=(
            "aadsts7000215",
            "aadsts7000222",
            "aadsts700016",
            "aadsts90002",
            "aadsts700027",
            "invalid_scope",
            "invalid_client",
            "unauthorized_client",
        ),
        schedule=(5 * MINUTE, 15 * MINUTE, HOUR),
        alert=True,
        examples=(
            "401 AADSTS7000215: Invalid client secret provided.",
            "401 AADSTS7000222: The provided client secret keys are expired.",
            "400 AADSTS700016: Application was not found in the directory.",
            "400 AADSTS90002: Tenant not found.",
            "400 invalid_scope: The scope is not valid.",
        ),
    ),
    Row(
        reason="connection_lost",
        scope=Scope.CONNECTION,
        outcome=Outcome.RETRY,
        source="m365 §4.2 row 3, §6 (pooled connections)",
        codes=(0,),
        stages=(Stage.AUTH, Stage.MAIL, Stage.RCPT, Stage.DATA),
        schedule=_REST,
        hint=Hint.RECONNECT,
        examples=("0 closed", "0 timeout"),
    ),
    Row(
        reason="http_not_sent",
        scope=Scope.CONNECTION,
        outcome=Outcome.RETRY,
        source="m365 §4.9 row 7 (only after the body was sent is the outcome unknown)",
        codes=(0,),
        stages=(Stage.HTTP,),
        text=("not_sent",),
        schedule=_REST,
        examples=("0 not_sent timeout",),
    ),
)
