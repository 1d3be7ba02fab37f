"""The path and its source address (facts m365 §4.7)."""

from typing import Final

from node.policy.table.row import HOUR, MINUTE, Row
from node.policy.verdict import Hint, Narrow, Outcome, Scope

_DOWN: Final = (15 * MINUTE, HOUR)
_THROTTLED: Final = (15 * MINUTE, 30 * MINUTE, HOUR)
_DOMAIN: Final = (4 * HOUR,)

ROWS: Final = (
    Row(
        reason="connector_not_matched",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="m365 §4.7 row 1; operations M10 (it may be one site's address that changed)",
        codes=(5,),
        enhanced=("5.7.64",),
        schedule=_DOWN,
        alert=True,
        examples=(
            (
                "550 5.7.64 TenantAttribution; Relay Access Denied ATTR36. [AM6PR01CA0042 "
                "2023-09-12T20:59:57.214Z 08DBB276B7E699C4]"
            ),
        ),
    ),
    Row(
        reason="direct_send_refused",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="m365 §4.7 row 2; operations M10",
        codes=(5,),
        enhanced=("5.7.68",),
        schedule=_DOWN,
        alert=True,
        examples=(
            (
                "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from "
                "unauthorized sources"
            ),
        ),
    ),
    Row(
        reason="source_throttled",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="m365 §4.7 row 3",
        codes=(4,),
        enhanced=("4.7.500-699",),
        hint=Hint.SLOWER,
        schedule=_THROTTLED,
        examples=(
            "451 4.7.500 Server busy. Please try again later from [203.0.113.7]. (AS77712345)",
            "451 4.7.699 Access denied, please try again later",
        ),
    ),
    Row(
        reason="source_limited",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="m365 §4.7 row 4",
        codes=(4,),
        enhanced=("4.7.850-899",),
        hint=Hint.SLOWER,
        schedule=_THROTTLED,
        examples=(
            "450 4.7.850 Access denied, please try again later",
            "450 4.7.899 Access denied, please try again later",
        ),
    ),
    Row(
        reason="source_reputation",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="m365 §4.7 row 5",
        codes=(451,),
        enhanced=("4.7.650", "4.7.651"),
        hint=Hint.SLOWER,
        schedule=_THROTTLED,
        examples=(
            "451 4.7.650 The mail server [203.0.113.7] has been temporarily rate limited due to IP reputation.",
            "451 4.7.651 The mail server has been temporarily rate limited due to IP reputation.",
        ),
    ),
    Row(
        reason="source_recipients_limited",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="m365 §4.7 row 6 (not the message: do not split)",
        codes=(452,),
        enhanced=("4.5.3",),
        text=("as780090",),
        hint=Hint.SLOWER,
        schedule=(15 * MINUTE,),
        examples=("452 4.5.3 Too many recipients (AS780090)",),
    ),
    Row(
        reason="source_banned",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="m365 §4.7 row 7",
        codes=(5,),
        enhanced=("5.7.606-649",),
        schedule=_DOWN,
        alert=True,
        examples=(
            "550 5.7.606 Access denied, banned sending IP [203.0.113.7]",
            "550 5.7.649 Access denied, banned sending IP",
        ),
    ),
    Row(
        reason="source_banned_delist",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="m365 §4.7 row 7",
        codes=(5,),
        enhanced=("5.7.511",),
        schedule=_DOWN,
        alert=True,
        examples=(
            (
                "550 5.7.511 Access denied, banned sender[203.0.113.7]. To request removal from this list "
                "forward this message to delist@microsoft.com"
            ),
        ),
    ),
    Row(
        reason="source_blocklisted",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="m365 §4.7 row 8",
        codes=(5,),
        enhanced=("5.7.1",),
        text=("spamhaus",),
        schedule=_DOWN,
        alert=True,
        examples=("550 5.7.1 Service unavailable, Client host [203.0.113.7] blocked using Spamhaus.",),
    ),
    Row(
        reason="domain_blocklisted",
        scope=Scope.TENANT,
        outcome=Outcome.SWITCH,
        source="m365 §4.7 row 8 (hits all paths)",
        codes=(5,),
        text=("mailfrom domain is listed", "spamhaus"),
        schedule=_DOMAIN,
        alert=True,
        narrow=Narrow.FROM_DOMAIN,
        examples=("550 5.7.1 Service unavailable, MailFrom domain is listed in Spamhaus.",),
    ),
    Row(
        reason="ipv6_refused",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="m365 §4.7 row 9",
        enhanced=("5.7.25", "4.7.26", "5.7.508", "5.7.510"),
        schedule=(MINUTE, *_DOWN),
        hint=Hint.IPV4,
        alert=True,
        examples=(
            "550 5.7.25 Access denied, the sending IPv6 address must have a reverse DNS record",
            "450 4.7.26 Access denied, a message sent over IPv6 must pass either SPF or DKIM validation",
            "550 5.7.508 Access denied, IP exceeded permitted limits within the IPv6 range",
            "550 5.7.510 Access denied, does not accept email over IPv6",
        ),
    ),
    Row(
        reason="bad_helo",
        scope=Scope.PATH_SITE,
        outcome=Outcome.SWITCH,
        source="m365 §4.7 row 10",
        codes=(5,),
        enhanced=("5.7.506",),
        schedule=_DOWN,
        alert=True,
        examples=("550 5.7.506 Access denied, bad HELO",),
    ),
    Row(
        reason="domain_not_authenticated",
        scope=Scope.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.7 row 11",
        codes=(5,),
        enhanced=("5.7.23", "5.7.509", "5.7.515"),
        schedule=_DOMAIN,
        alert=True,
        narrow=Narrow.FROM_DOMAIN,
        examples=(
            "550 5.7.23 The message was rejected because of Sender Policy Framework violation",
            "550 5.7.509 Access denied, sending domain contoso.com does not pass DMARC verification",
            "550 5.7.515 Access denied, sending domain contoso.com does not meet the required authentication level",
        ),
    ),
    Row(
        reason="source_not_accepted",
        scope=Scope.TENANT,
        outcome=Outcome.RETRY,
        source="m365 §4.7 row 12",
        codes=(5,),
        enhanced=("5.7.708",),
        schedule=(HOUR, 4 * HOUR),
        alert=True,
        examples=("550 5.7.708 Access denied, traffic not accepted from this IP",),
    ),
)
