"""Every sentence the simulated service speaks, with its place in facts/m365.md. Pure.

``{tag}`` becomes ``[HOST timestamp id]`` as failure lines carry it since 2023 (§6).
"""

GREETING = "220 {name} Microsoft ESMTP MAIL Service ready at {date}"  # §6
BUSY = "421 4.3.2 Service not available {tag}"  # §4.2
QUIT = "221 2.0.0 Service closing transmission channel"
TLS_READY = "220 2.0.0 SMTP server ready"  # §6
OK = "250 2.0.0 OK"
RESET = "250 2.0.0 Resetting"
VRFY = "252 2.1.5 Cannot VRFY user"
HELP = "214 2.0.0 This server supports the commands of its EHLO reply"
SENDER_OK = "250 2.1.0 Sender OK"
RECIPIENT_OK = "250 2.1.5 Recipient OK"
GO_AHEAD = "354 Start mail input; end with <CRLF>.<CRLF>"
CHUNK_OK = "250 2.6.0 CHUNK received OK, {octets} octets"
ACCEPTED = "250 2.0.0 OK {message_id} [Hostname={host}.PROD.OUTLOOK.COM]"  # §6
AUTHENTICATED = "235 2.7.0 Authentication successful"  # §3.2

UNKNOWN_COMMAND = "500 5.3.3 Unrecognized command {tag}"
LINE_TOO_LONG = "500 5.3.3 Line too long {tag}"
BAD_ARGUMENTS = "501 5.5.4 Invalid arguments {tag}"
BAD_ADDRESS = "501 5.1.3 Invalid address {tag}"  # §4.6
BAD_SEQUENCE = "503 5.5.2 Bad sequence of commands {tag}"
TOO_MANY_ERRORS = "421 4.7.0 Too many errors on this connection, closing transmission channel {tag}"
IDLE = "451 4.7.0 Timeout waiting for client input {tag}"  # §6, nodemailer#1205
SESSION_OVER = "421 4.4.1 Connection timed out. Total session duration: {duration} {tag}"  # §6
TLS_REQUIRED = "451 5.7.3 STARTTLS is required to send mail {tag}"  # §4.2
TLS_NOT_NOW = "503 5.5.2 Only one STARTTLS command can be issued {tag}"

AUTH_TYPE = "504 5.7.4 Unrecognized authentication type {tag}"  # §4.3
AUTH_FAILED = "535 5.7.3 Authentication unsuccessful {tag}"  # §3.2
AUTH_TENANT_OFF = (  # §4.3, §3.5
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. "
    "Visit https://aka.ms/smtp_auth_disabled for more information. {tag}"
)
AUTH_MAILBOX_OFF = (
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. "
    "Visit https://aka.ms/smtp_auth_disabled for more information. {tag}"
)
AUTH_BASIC_OFF = "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. {tag}"
AUTH_CREDENTIALS = "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. {tag}"
NOT_LOGGED_IN = "530 5.7.57 Client not authenticated to send mail. {tag}"  # §4.3

OVER_RATE = "432 4.3.2 STOREDRV.ClientSubmit; exceeded the message limit per account {tag}"  # §4.4
OVER_SESSIONS = (  # §4.4
    "432 4.3.2 Concurrent connections limit exceeded. "
    "Visit https://aka.ms/concurrent_sending for more information. {tag}"
)
OVER_RECIPIENTS = "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException {tag}"  # §4.4
OVER_EXTERNAL = "550 5.7.233 Tenant exceeded the external recipient rate limit {tag}"  # §4.8
OVER_EXTERNAL_TRIAL = "550 5.7.232 Trial tenant exceeded the external recipient rate limit {tag}"  # §4.8
OVER_ONMICROSOFT = "550 5.7.236 Tenant exceeded the limit of messages from onmicrosoft.com domains {tag}"  # §4.8
TOO_MANY_RECIPIENTS = "452 4.5.3 Too many recipients {tag}"
MAILBOX_FULL = (  # §4.4
    "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:"
    "QuotaExceededException.MapiException(Shutoff)QuotaExceeded {tag}"
)
RESTRICTED = "550 5.1.8 Access denied, bad outbound sender {tag}"  # §4.4
UNLICENSED = "554 5.2.0 STOREDRV.Submission.Exception:InvalidLicenseException {tag}"  # inferred: §4.4 names 5.2.253
OUTBOUND_SPAM = (  # §4.4
    "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message due to a permanent "
    "exception with message WASCL UserAction verdict is Suspend. {tag}"
)
UNGRANTED = (  # §4.3
    "430 4.2.0 STOREDRV; mailbox logon failure; failure category: MapiExceptionLogonFailed {tag}"
)
MAY_NOT_SEND_AS = "550 5.7.60 SMTP; Client does not have permissions to send as this sender {tag}"  # §4.4
SEND_AS_DENIED = (  # §4.4
    "554 5.2.252 SendAsDenied; {login} not allowed to send as {sender}; "
    "STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied {tag}"
)
TOO_LARGE = "552 5.3.4 Message size exceeds fixed maximum message size {tag}"  # §4.5
TWO_FROMS = "550 5.1.20 Multiple From addresses are not allowed without Sender address {tag}"  # §4.5
NO_FROM = "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant {tag}"  # §4.5
BARE_LINE_FEED = "550 5.6.11 Invalid characters {tag}"  # §4.5
THROTTLED = {  # §4.4, continuous errors
    "mailbox_full": "550 5.2.251 Sender throttled due to continuous mailbox full errors {tag}",
    "send_as": "550 5.2.252 Sender throttled due to continuous send as denied errors {tag}",
    "too_many_recipients": "550 5.2.254 Sender throttled due to continuous too many recipients errors {tag}",
    "invalid_licence": "550 5.2.253 Sender throttled due to continuous invalid license errors {tag}",
    "invalid_recipients": "550 5.2.255 Sender throttled due to continuous invalid recipients errors {tag}",
}

RELAY_DENIED = "550 5.7.64 TenantAttribution; Relay Access Denied ATTR36. {tag}"  # §4.7
DIRECT_SEND_REFUSED = (  # §4.7
    "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources {tag}"
)
NOT_OURS = "550 5.4.1 Relay Access Denied {tag}"  # §4.6
NOBODY = "550 5.4.1 Recipient address rejected: Access denied. AS(201806281) {tag}"  # §4.6
INSIDE_ONLY = "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required {tag}"  # §4.6
SERVER_BUSY = "451 4.7.500 Server busy. Please try again later from [{source}]. (AS77712345) {tag}"  # §4.7
QUEUED = (  # §6, the MX's own form
    "250 2.6.0 <{message_id}> [InternalId={number}, Hostname={host}.PROD.OUTLOOK.COM] {octets} bytes in 0.296, "
    "27.285 KB/sec Queued mail for delivery"
)
TOKEN_ENDS_SOON = "501 5.5.127 Invalid XOAUTH2 auth data - Token will expire soon {tag}"  # noqa: S105 - §4.3
TOKEN_MALFORMED = "501 5.5.124 Invalid XOAUTH2 auth data {tag}"  # noqa: S105 - §4.3
ORGANIZATION_REFUSES = (  # §4.3
    "535 5.7.139 Authentication unsuccessful, the organization configuration doesn't allow this authentication "
    "request. {tag}"
)
HVE_EXTERNAL = "550 5.7.1 Unable to relay {tag}"  # wording not confirmed: §1.1 D says internal only
ACS_OVER_RATE = "450 4.7.0 The quota of this resource is exceeded, try again later {tag}"  # wording not confirmed: §8

EXTENSIONS = ("PIPELINING", "DSN", "ENHANCEDSTATUSCODES", "{secure}", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8")
"""EHLO after SIZE, in the order seen (§6); ``{secure}`` is STARTTLS before and AUTH after the handshake."""
