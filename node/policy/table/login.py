"""Login (facts m365 §4.3). Nothing here says anything about a message, so nothing here bounces."""

from typing import Final

from node.policy.reply import Stage
from node.policy.table.row import HOUR, MAILBOX, MINUTE, Row
from node.policy.verdict import Hint, Narrow, Outcome, Scope

_PARKING: Final = (15 * MINUTE, HOUR, 4 * HOUR)
_HOURLY: Final = (HOUR,)

ROWS: Final = (
    Row(
        reason="login_refused",
        scope=Scope.ACCOUNT,
        narrow=Narrow.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 1",
        codes=(535,),
        enhanced=("5.7.3",),
        stages=(Stage.AUTH,),
        schedule=_PARKING,
        alert=True,
        hint=Hint.NEW_TOKEN,
        widens=True,
        examples=("535 5.7.3 Authentication unsuccessful [AM6PR01CA0042 2023-09-12T20:59:57.214Z 08DBB276B7E699C4]",),
    ),
    Row(
        reason="smtp_auth_off_tenant",
        scope=Scope.ACCOUNT,
        narrow=Narrow.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 2 (mailboxes with an override of their own still work)",
        enhanced=("5.7.139",),
        text=("smtpclientauthentication is disabled", "tenant"),
        stages=(Stage.AUTH,),
        schedule=_HOURLY,
        alert=True,
        widens=True,
        examples=(
            (
                "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. "
                "Visit https://aka.ms/smtp_auth_disabled for more information. [AM6PR01CA0042 "
                "2023-09-12T20:59:57.214Z 08DBB276B7E699C4]"
            ),
        ),
    ),
    Row(
        reason="smtp_auth_off_mailbox",
        scope=Scope.ACCOUNT,
        narrow=Narrow.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 3",
        enhanced=("5.7.139",),
        text=("smtpclientauthentication is disabled", "mailbox"),
        stages=(Stage.AUTH,),
        schedule=_HOURLY,
        alert=True,
        examples=(
            (
                "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. "
                "Visit https://aka.ms/smtp_auth_disabled for more information."
            ),
        ),
    ),
    Row(
        reason="basic_auth_off",
        scope=Scope.ACCOUNT,
        narrow=Narrow.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 4",
        enhanced=("5.7.139",),
        text=("basic authentication is disabled",),
        stages=(Stage.AUTH,),
        schedule=_HOURLY,
        alert=True,
        widens=True,
        examples=(
            (
                "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [AM6PR01CA0042 "
                "2023-09-12T20:59:57.214Z 08DBB276B7E699C4]"
            ),
        ),
    ),
    Row(
        reason="security_defaults",
        scope=Scope.ACCOUNT,
        narrow=Narrow.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 5",
        enhanced=("5.7.139",),
        text=("security defaults policy",),
        stages=(Stage.AUTH,),
        schedule=_HOURLY,
        alert=True,
        widens=True,
        examples=(
            (
                "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security "
                "defaults policy. Contact your administrator."
            ),
        ),
    ),
    Row(
        reason="conditional_access",
        scope=Scope.ACCOUNT,
        narrow=Narrow.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 6",
        enhanced=("5.7.139",),
        text=("did not meet the criteria",),
        stages=(Stage.AUTH,),
        schedule=_PARKING,
        alert=True,
        widens=True,
        examples=(
            (
                "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be "
                "authenticated successfully. Contact your administrator. [AM6PR01CA0042 "
                "2023-09-12T20:59:57.214Z 08DBB276B7E699C4]"
            ),
        ),
    ),
    Row(
        reason="credentials_incorrect",
        scope=Scope.ACCOUNT,
        narrow=Narrow.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 7 (each further try risks a lock-out)",
        enhanced=("5.7.139",),
        text=("user credentials were incorrect",),
        stages=(Stage.AUTH,),
        alert=True,
        park=True,
        examples=(
            (
                "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [AM6PR01CA0042 "
                "2023-09-12T20:59:57.214Z 08DBB276B7E699C4]"
            ),
        ),
    ),
    Row(
        reason="sts_unreachable",
        scope=Scope.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 8",
        enhanced=("5.7.139",),
        text=("federated sts service was unreachable",),
        stages=(Stage.AUTH,),
        schedule=(5 * MINUTE, 15 * MINUTE, 30 * MINUTE),
        examples=("535 5.7.139 Authentication unsuccessful, the federated STS service was unreachable",),
    ),
    Row(
        reason="sts_without_https",
        scope=Scope.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 9",
        enhanced=("5.7.139",),
        text=("federated sts url does not support https",),
        stages=(Stage.AUTH,),
        schedule=_HOURLY,
        alert=True,
        examples=("535 5.7.139 Authentication unsuccessful, the federated STS URL does not support HTTPS",),
    ),
    Row(
        reason="organization_refuses_login",
        scope=Scope.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 10",
        enhanced=("5.7.139",),
        text=("organization configuration", "allow this authentication request"),
        stages=(Stage.AUTH,),
        schedule=_HOURLY,
        alert=True,
        examples=(
            (
                "535 5.7.139 Authentication unsuccessful, the organization configuration doesn't allow this "
                "authentication request"
            ),
        ),
    ),
    Row(
        reason="basic_auth_removed",
        scope=Scope.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 11",
        codes=(5,),
        enhanced=("5.7.30",),
        schedule=_HOURLY,
        alert=True,
        examples=("550 5.7.30 Basic authentication is not supported for Client Submission.",),
    ),
    Row(
        reason="token_expires_soon",
        scope=Scope.CONNECTION,
        outcome=Outcome.RETRY,
        source="m365 §4.3 row 12",
        enhanced=("5.5.127",),
        stages=(Stage.AUTH,),
        # The new token and the login at once have been (see the hint) when this rest begins.
        schedule=(30.0, MINUTE),
        hint=Hint.NEW_TOKEN,
        examples=("501 5.5.127 Invalid XOAUTH2 auth data - Token will expire soon",),
    ),
    Row(
        reason="xoauth2_malformed",
        scope=Scope.ACCOUNT,
        narrow=Narrow.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 12",
        enhanced=("5.5.124",),
        stages=(Stage.AUTH,),
        schedule=_PARKING,
        alert=True,
        examples=("501 5.5.124 Invalid XOAUTH2 auth data",),
    ),
    Row(
        reason="mechanism_not_offered",
        scope=Scope.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 13",
        codes=(504,),
        enhanced=("5.7.4",),
        stages=(Stage.AUTH,),
        schedule=(15 * MINUTE, HOUR),
        alert=True,
        examples=("504 5.7.4 Unrecognized authentication type",),
    ),
    Row(
        reason="login_temporary",
        scope=Scope.ACCOUNT,
        narrow=Narrow.PATH,
        outcome=Outcome.RETRY,
        source="m365 §4.3 row 14",
        codes=(454,),
        enhanced=("4.7.0",),
        stages=(Stage.AUTH,),
        schedule=(MINUTE,),
        examples=("454 4.7.0 Temporary authentication failure",),
    ),
    Row(
        reason="not_logged_in",
        scope=Scope.ACCOUNT,
        narrow=Narrow.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 15",
        codes=(5,),
        enhanced=("5.7.57",),
        schedule=_PARKING,
        alert=True,
        hint=Hint.RECONNECT,
        examples=(
            (
                "530 5.7.57 Client not authenticated to send mail. [AM6PR01CA0042 2023-09-12T20:59:57.214Z "
                "08DBB276B7E699C4]"
            ),
            "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM",
            "550 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM",
        ),
    ),
    Row(
        reason="mailbox_logon_failed",
        scope=Scope.ACCOUNT,
        narrow=Narrow.PATH,
        outcome=Outcome.SWITCH,
        source="m365 §4.3 row 16, §3.4 (grants take up to an hour and more)",
        codes=(430,),
        enhanced=("4.2.0",),
        text=("storedrv", "mapiexceptionlogonfailed"),
        paths=MAILBOX,
        schedule=(10 * MINUTE, 10 * MINUTE, 10 * MINUTE, 30 * MINUTE),
        alert=True,
        examples=(
            (
                "430 4.2.0 STOREDRV; mailbox logon failure; storage exception: MapiExceptionLogonFailed: Unable "
                "to make connection to the server."
            ),
        ),
    ),
)
