"""The whole tenant (facts m365 §4.8)."""

from typing import Final

from node.policy.reply import Stage
from node.policy.table.row import HOUR, MINUTE, Row
from node.policy.verdict import Narrow, Outcome, Scope

_PROBED: Final = (15 * MINUTE, 30 * MINUTE)
_HELD: Final = (HOUR, 4 * HOUR)

ROWS: Final = (
    Row(
        reason="tenant_external_limit",
        scope=Scope.TENANT,
        outcome=Outcome.SWITCH,
        source="m365 §4.8 row 1 (only paths outside the limit help)",
        codes=(5,),
        enhanced=("5.7.233",),
        schedule=_PROBED,
        alert=True,
        narrow=Narrow.EXTERNAL,
        examples=(
            (
                "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for "
                "sending email to external recipients (tenant external recipient rate limit)"
            ),
        ),
    ),
    Row(
        reason="trial_tenant_external_limit",
        scope=Scope.TENANT,
        outcome=Outcome.SWITCH,
        source="m365 §4.8 row 1",
        codes=(5,),
        enhanced=("5.7.232",),
        schedule=_PROBED,
        alert=True,
        narrow=Narrow.EXTERNAL,
        examples=(
            (
                "550 5.7.232 Your message can't be sent because your trial tenant has exceeded its daily limit "
                "for sending email to external recipients"
            ),
        ),
    ),
    Row(
        reason="onmicrosoft_limit",
        scope=Scope.TENANT,
        outcome=Outcome.SWITCH,
        source="m365 §4.8 row 2",
        codes=(5,),
        enhanced=("5.7.236",),
        schedule=_PROBED,
        alert=True,
        narrow=Narrow.FROM_DOMAIN,
        examples=(
            (
                "550 5.7.236 Your message can't be sent because your tenant exceeded its limit for messages "
                "from onmicrosoft.com domains"
            ),
        ),
    ),
    Row(
        reason="tenant_threshold",
        scope=Scope.TENANT,
        outcome=Outcome.RETRY,
        source="m365 §4.8 row 3",
        codes=(5,),
        enhanced=("5.7.705",),
        schedule=_HELD,
        alert=True,
        examples=("550 5.7.705 Access denied, tenant has exceeded threshold",),
    ),
    Row(
        reason="unregistered_domain",
        scope=Scope.TENANT,
        outcome=Outcome.RETRY,
        source="m365 §4.8 row 4",
        codes=(5,),
        enhanced=("5.7.750",),
        schedule=_HELD,
        alert=True,
        narrow=Narrow.FROM_DOMAIN,
        examples=("550 5.7.750 Service unavailable. Client blocked from sending from unregistered domain(s)",),
    ),
    Row(
        reason="sender_domain_banned",
        scope=Scope.TENANT,
        outcome=Outcome.RETRY,
        source="m365 §4.8 row 5",
        codes=(5,),
        enhanced=("5.7.800",),
        schedule=_HELD,
        alert=True,
        narrow=Narrow.FROM_DOMAIN,
        examples=("550 5.7.800 Access denied, banned sender",),
    ),
    Row(
        reason="remote_connect_failed",
        scope=Scope.RECIPIENT,
        outcome=Outcome.BOUNCE,
        source="m365 §4.8 last paragraph (Exchange Online's own outbound hop)",
        enhanced=("4.4.316", "4.4.317", "4.4.8"),
        stages=(Stage.NDR,),
        examples=(
            "451 4.4.316 Connection refused",
            "450 4.4.317 Cannot connect to remote server",
            "450 4.4.8 MX hosts of 'example.com' failed MTA-STS validation",
        ),
    ),
    Row(
        reason="remote_policy_failed",
        scope=Scope.RECIPIENT,
        outcome=Outcome.BOUNCE,
        source="m365 §4.8 last paragraph",
        enhanced=("4.7.320-329", "5.7.320-329"),
        stages=(Stage.NDR,),
        examples=(
            "450 4.7.323 tlsa-invalid: The domain failed DANE validation",
            "550 5.7.324 dnssec-invalid: Destination domain returned invalid DNSSEC records",
        ),
    ),
)
