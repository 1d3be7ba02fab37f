"""Whom the header names and whom the envelope names: Graph knows no envelope and sends to the header's (m365 §1.4).

Pure. What cannot be read in exactly one way counts as naming strangers: a wrong guess would send mail to somebody who
should not get it, or twice to somebody who should.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from node.policy.addresses import AddressError, Grammar
from node.policy.headers import Header, parse_header, unfold
from node.policy.mailboxes import parse_mailboxes

RECIPIENT_FIELDS: Final = frozenset({b"to", b"cc", b"bcc"})
RESENT_FIELDS: Final = frozenset({b"resent-to", b"resent-cc", b"resent-bcc"})
"""Which of both sets counts is told differently by different readers (RFC 5322 §3.6.6): such mail is left alone."""
_EMPTY_GROUP: Final = re.compile(r'(?:"[^"\\]*"|[^<>@,;:"()])*:\s*;')
"""``undisclosed-recipients:;`` and its like (RFC 5322 §3.4)."""
_GRAMMAR: Final = Grammar(utf8=True)


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a header names."""

    addresses: frozenset[str] = frozenset()
    """In small letters."""
    fault: str = ""
    """Why it cannot be told; then nothing is known."""


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """How a message can go without an envelope."""

    indexes: tuple[int, ...] = ()
    """Recipients the header names: all of them must go along, and none may have it already."""
    why_not: str = ""
    """Why it never can; empty: it can."""


def named_in(start: bytes) -> Named:
    """Read the recipients in a message's header; ``start``: the message, or its first HEADER_BYTES and more."""
    header = parse_header(start)
    if not isinstance(header, Header):
        return Named(fault="the header cannot be read")
    found: set[str] = set()
    for field in header.fields:
        if field.name in RESENT_FIELDS:
            return Named(fault="Resent fields name recipients")
        if field.name not in RECIPIENT_FIELDS:
            continue
        value = unfold(field.value)
        if not value or _EMPTY_GROUP.fullmatch(value):
            continue
        try:
            found.update(mailbox.address.lower() for mailbox in parse_mailboxes(value, _GRAMMAR))
        except AddressError:
            return Named(fault=f"{field.name.decode('ascii').title()} cannot be read in one way only")
    return Named(addresses=frozenset(found))


def fit(named: Named, envelope: Mapping[int, str]) -> Fit:
    """Compare with the whole envelope: address by index."""
    if named.fault:
        return Fit(why_not=named.fault)
    known = {address.lower(): index for index, address in envelope.items()}
    strangers = named.addresses - known.keys()
    if strangers:
        return Fit(why_not=f"the header names {len(strangers)} who are not recipients")
    return Fit(indexes=tuple(sorted(known[address] for address in named.addresses)))
