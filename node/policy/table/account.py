"""State, quota and permission of the account (facts m365 §4.4)."""

from typing import Final

from node.policy.reply import Stage
from node.policy.table.row import ANY_M365, DAY, HOUR, MAILBOX, MINUTE, Row
from node.policy.verdict import Hint, Outcome, Scope

_THROTTLED: Final = (HOUR, 2 * HOUR, 4 * HOUR)
_HOURLY: Final = (HOUR,)
_PAIR: Final = (MINUTE, 4 * HOUR, DAY)

ROWS: Final = (
    Row(
        reason="too_many_sessions",
        scope=Scope.ACCOUNT,
        outcome=Outcome.SWITCH,
        source="m365 §4.4 row 1",
        codes=(432,),
        enhanced=("4.3.2",),
        any_text=("sender thread limit exceeded", "concurrent connections limit exceeded"),
        paths=MAILBOX,
        schedule=(10.0, 10.0, 15.0),
        hint=Hint.FEWER_SLOTS,
        examples=(
            (
                "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for "
                "more information. [AM6PR01CA0042 2023-09-12T20:59:57.214Z 08DBB276B7E699C4]"
            ),
            "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
        ),
    ),
    Row(
        reason="account_minute_limit",
        scope=Scope.ACCOUNT,
        outcome=Outcome.SWITCH,
        source="m365 §4.4 row 2",
        codes=(432,),
        enhanced=("4.3.2",),
        text=("exceeded the message limit per account",),
        paths=MAILBOX,
        schedule=(MINUTE,),
        examples=("432 4.3.2 STOREDRV.ClientSubmit; exceeded the message limit per account",),
    ),
    Row(
        reason="account_daily_limit",
        scope=Scope.ACCOUNT,
        outcome=Outcome.SWITCH,
        source="m365 §4.4 row 3",
        any_text=("submissionquotaexceeded", "submission quota exceeded", "submission quota was exceeded"),
        paths=ANY_M365,
        schedule=_HOURLY,
        alert=True,
        examples=(
            "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message",
            "550 5.2.2 Submission quota exceeded",
            "554 5.2.0 The message can't be submitted because the sender's submission quota was exceeded",
        ),
    ),
    Row(
        reason="account_daily_recipients",
        scope=Scope.ACCOUNT,
        outcome=Outcome.SWITCH,
        source="m365 §4.4 row 3",
        codes=(5,),
        enhanced=("5.1.90", "5.1.92"),
        paths=ANY_M365,
        schedule=_HOURLY,
        alert=True,
        examples=(
            "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
            "550 5.1.92 Your message can't be sent because you've reached your daily limit for message recipients",
        ),
    ),
    Row(
        reason="account_mailbox_full",
        scope=Scope.ACCOUNT,
        outcome=Outcome.SWITCH,
        source="m365 §4.4 row 4",
        codes=(5,),
        enhanced=("5.2.2", "5.2.0"),
        any_text=("mailbox full", "exception:quotaexceededexception"),
        stages=(
            Stage.DOT,
            Stage.HTTP,
            Stage.NDR,
        ),
        paths=MAILBOX,
        schedule=_HOURLY,
        alert=True,
        examples=(
            (
                "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShut"
                "offQuotaExceeded; Failed to process message"
            ),
            (
                "554 5.2.0 STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionQuotaExceeded; Failed to "
                "process message due to a permanent exception"
            ),
            "554 5.2.2 Mailbox full. Visit https://aka.ms/mailboxfull for more information.",
        ),
    ),
    Row(
        reason="throttled_mailbox_full",
        scope=Scope.ACCOUNT,
        outcome=Outcome.SWITCH,
        source="m365 §4.4 row 5",
        codes=(5,),
        enhanced=("5.2.251",),
        paths=MAILBOX,
        schedule=_THROTTLED,
        alert=True,
        examples=("550 5.2.251 Sender throttled due to continuous mailbox full errors",),
    ),
    Row(
        reason="throttled_invalid_licence",
        scope=Scope.ACCOUNT,
        outcome=Outcome.SWITCH,
        source="m365 §4.4 row 5",
        codes=(5,),
        enhanced=("5.2.253",),
        paths=MAILBOX,
        schedule=_THROTTLED,
        alert=True,
        examples=("550 5.2.253 Sender throttled due to continuous invalid license errors",),
    ),
    Row(
        reason="throttled_too_many_recipients",
        scope=Scope.ACCOUNT,
        outcome=Outcome.SWITCH,
        source="m365 §4.4 row 5",
        codes=(5,),
        enhanced=("5.2.254",),
        paths=MAILBOX,
        schedule=_THROTTLED,
        alert=True,
        examples=("550 5.2.254 Sender throttled due to continuous too many recipients errors",),
    ),
    Row(
        reason="throttled_invalid_recipients",
        scope=Scope.ACCOUNT,
        outcome=Outcome.SWITCH,
        source="m365 §4.4 row 5",
        codes=(5,),
        enhanced=("5.2.255",),
        paths=MAILBOX,
        schedule=_THROTTLED,
        alert=True,
        examples=("550 5.2.255 Sender throttled due to continuous invalid recipients errors",),
    ),
    Row(
        reason="throttled_send_as",
        scope=Scope.ACCOUNT,
        outcome=Outcome.SWITCH,
        source="m365 §4.4 row 6 (the 5.2.252 trap, §4.1 rule 2)",
        codes=(5,),
        enhanced=("5.2.252",),
        text=("sender throttled",),
        paths=MAILBOX,
        schedule=_THROTTLED,
        alert=True,
        examples=("550 5.2.252 Sender throttled due to continuous send as denied errors",),
    ),
    Row(
        reason="send_as_denied",
        scope=Scope.ACCOUNT_FROM,
        outcome=Outcome.SWITCH,
        source="m365 §4.4 row 7",
        codes=(5,),
        enhanced=("5.2.252", "5.2.0"),
        any_text=("sendasdenied", "not allowed to send as"),
        paths=MAILBOX,
        schedule=_PAIR,
        alert=True,
        examples=(
            (
                "554 5.2.252 SendAsDenied; relay1@contoso.com not allowed to send as app@contoso.com; "
                "STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to "
                "process message"
            ),
            (
                "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; "
                "Failed to process message"
            ),
        ),
    ),
    Row(
        reason="sender_not_permitted",
        scope=Scope.ACCOUNT_FROM,
        outcome=Outcome.SWITCH,
        source="m365 §4.4 row 8",
        codes=(5,),
        enhanced=("5.7.60",),
        schedule=_PAIR,
        alert=True,
        examples=("550 5.7.60 SMTP; Client does not have permissions to send as this sender",),
    ),
    Row(
        reason="bad_outbound_sender",
        scope=Scope.ACCOUNT,
        outcome=Outcome.HOLD,
        source="m365 §4.4 row 9",
        codes=(5,),
        enhanced=("5.1.8",),
        paths=ANY_M365,
        alert=True,
        park=True,
        stops_client=True,
        examples=("550 5.1.8 Access denied, bad outbound sender",),
    ),
    Row(
        reason="outbound_spam",
        scope=Scope.ACCOUNT,
        outcome=Outcome.HOLD,
        source="m365 §4.4 row 10",
        codes=(5,),
        text=("outboundspamexception",),
        paths=ANY_M365,
        alert=True,
        park=True,
        stops_client=True,
        examples=(
            (
                "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message due "
                "to a permanent exception with message WASCL UserAction verdict is Suspend."
            ),
        ),
    ),
    Row(
        reason="spam_abuse",
        scope=Scope.ACCOUNT,
        outcome=Outcome.HOLD,
        source="m365 §4.4 row 11",
        codes=(5,),
        enhanced=("5.7.501",),
        paths=ANY_M365,
        alert=True,
        park=True,
        stops_client=True,
        examples=("550 5.7.501 Access denied, spam abuse detected",),
    ),
    Row(
        reason="banned_sender",
        scope=Scope.ACCOUNT,
        outcome=Outcome.HOLD,
        source="m365 §4.4 row 11",
        codes=(5,),
        enhanced=("5.7.502", "5.7.503"),
        paths=ANY_M365,
        alert=True,
        park=True,
        stops_client=True,
        examples=("550 5.7.502 Access denied, banned sender", "550 5.7.503 Access denied, banned sender"),
    ),
    Row(
        # No text on purpose: the exception's name decides, and rows that know one must win.
        reason="submission_exception",
        scope=Scope.MESSAGE,
        outcome=Outcome.SWITCH,
        source="m365 §4.4 row 12",
        codes=(554,),
        enhanced=("5.2.0",),
        paths=ANY_M365,
        schedule=(MINUTE,),
        then=Outcome.BOUNCE,
        examples=("554 5.2.0 STOREDRV.Submission.Exception:ObjectNotFoundException; Failed to process message",),
    ),
)
