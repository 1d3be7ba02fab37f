"""Causes, by reason of the reply table: limits that are used up, blocks Microsoft put on, faults of this side.

Sources: facts m365 §4.2 to §4.8.
"""

from typing import Final

import msgspec


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why something failed, and what to do."""

    text: str
    advice: str = ""


_SENT_TODAY: Final = Cause(
    text="the mailbox has sent to as many recipients as it may in 24 hours",
    advice="wait, or use more accounts; if this relay did not send them, look who uses the mailbox",
)
_OUTSIDE_TODAY: Final = Cause(
    text="the tenant has sent to as many recipients outside as it may in 24 hours",
    advice="Get-LimitsEnforcementStatus shows the limit; mail inside goes on",
)
_BANNED: Final = "ask Microsoft's support to release it; look first what was sent"
BLOCKS: Final[dict[str, Cause]] = {
    "tls_too_old": Cause(
        text="this host's TLS is too old for the server", advice="TLS 1.2 or later: look at the host's OpenSSL policy"
    ),
    "starttls_demanded": Cause(text="the server wants STARTTLS first", advice="set tls to starttls for this path"),
    "wrong_region": Cause(
        text="the MX host belongs to another region or tenant", advice="take the host from the tenant's MX record"
    ),
    "sts_without_https": Cause(
        text="the organisation's sign-in service (STS) has no HTTPS", advice="use tokens: leave the password out"
    ),
    "xoauth2_malformed": Cause(
        text="the login as it was sent is not understood",
        advice="look at the account's address; nothing between may change it",
    ),
    "account_daily_limit": _SENT_TODAY,
    "account_daily_recipients": _SENT_TODAY,
    "throttled_mailbox_full": Cause(
        text="the account is throttled: its mailbox was full again and again",
        advice="empty the mailbox; then wait some hours",
    ),
    "throttled_too_many_recipients": Cause(
        text="the account is throttled: too many recipients again and again",
        advice="lower recipients_per_message to the mailbox's RecipientLimits; then wait some hours",
    ),
    "throttled_invalid_recipients": Cause(
        text="the account is throttled: recipients that do not exist again and again",
        advice="look at `relayctl m365 suppressed` for who writes to them; then wait some hours",
    ),
    "throttled_send_as": Cause(
        text="the account is throttled: it used a From it may not use again and again",
        advice="grant SendAs, or take the From off its send_as; then wait some hours",
    ),
    "outbound_spam": Cause(
        text="the message was taken for spam, and the account is restricted",
        advice="look at Defender's restricted entities, find what sent, then release it",
    ),
    "banned_sender": Cause(text="the sender is banned", advice=_BANNED),
    "routing_loop": Cause(
        text="mail to it comes back to where it was",
        advice="look at connectors and mail-flow rules: one leads here again",
    ),
    "source_banned_delist": Cause(
        text="this address is banned at Microsoft", advice="ask for delisting, or leave by another"
    ),
    "domain_blocklisted": Cause(text="the sender's domain is on a block list", advice="ask the list for delisting"),
    "ipv6_refused": Cause(
        text="the server takes no mail from this IPv6 address",
        advice="the path goes by IPv4 from now on; or give the address a name, SPF and DKIM",
    ),
    "bad_helo": Cause(text="the server does not take our host name", advice="set hostname to a name that resolves"),
    "domain_not_authenticated": Cause(
        text="the sender's domain does not pass SPF, DKIM or DMARC by this path",
        advice="send it by submission, where Microsoft signs, or complete the domain's records",
    ),
    "source_not_accepted": Cause(
        text="the tenant's mail is not taken from this address",
        advice="ask support for an exception (usual for trials)",
    ),
    "tenant_external_limit": _OUTSIDE_TODAY,
    "trial_tenant_external_limit": _OUTSIDE_TODAY,
    "onmicrosoft_limit": Cause(
        text="senders in onmicrosoft.com may write to 100 recipients outside a day", advice="use a domain of your own"
    ),
    "tenant_threshold": Cause(text="the tenant is blocked from sending", advice=_BANNED),
    "unregistered_domain": Cause(
        text="the tenant sent from domains it has not registered, and is blocked for it",
        advice="add and verify the sender's domain, or stop who uses it",
    ),
    "sender_domain_banned": Cause(text="the sender's domain is banned", advice=_BANNED),
    "graph_bad_mime": Cause(
        text="Graph does not understand the message as it was sent", advice="nothing between may change it; report it"
    ),
}
