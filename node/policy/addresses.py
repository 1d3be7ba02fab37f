"""Mailbox addresses: the one strict parser everybody asks, envelope and header alike (operations §5).

Gives every accepted address in one canonical text, so that policy, rewriting and history compare plain strings.
Knows nothing of clients, tenants or rules. Source: RFC 5321 §4.1.2, RFC 6531, RFC 5322 §3.4.
"""

import re
import unicodedata

import msgspec

from node.policy.domains import DomainError, canonical_domain, canonical_literal

ADDRESS_BYTES = 254
LOCAL_BYTES = 64
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_COMMON = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@({_LABEL}(?:\.{_LABEL})*\.[A-Za-z][A-Za-z0-9-]{{0,61}}[A-Za-z0-9])")
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*)"')
_UNESCAPE = re.compile(r"\\(.)")
_ESCAPE = re.compile(r'(["\\])')
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f<>]")


class AddressError(ValueError):
    """The text is not an address we take; the message says why and never quotes the text."""


class Grammar(msgspec.Struct, frozen=True, kw_only=True):
    """Which variants of the address grammar are taken."""

    utf8: bool = False
    """SMTPUTF8 was said: the local part may hold letters beyond ASCII (RFC 6531)."""
    literals: bool = False
    """``user@[192.0.2.1]`` is taken."""
    bare: bool = False
    """An address without domain is taken (``root``); the default domain or an alias completes it."""
    lenient: bool = False
    """What old devices send: ``_`` and a final dot in domains, dots in odd places of the local part."""


STRICT = Grammar()
STRICT_UTF8 = Grammar(utf8=True)


def parse_address(text: str, grammar: Grammar = STRICT) -> str:
    """Give the address in canonical form: domain in lower-case A-labels, local part unquoted wherever it can be.

    CR, LF, NUL, other controls, angle brackets and spaces are refused everywhere, inside quotes too (operations §5).
    Raises AddressError.
    """
    match = _COMMON.fullmatch(text)  # ASCII only, so characters are octets
    if match is not None and len(text) <= ADDRESS_BYTES and match.end(1) <= LOCAL_BYTES:
        return f"{match[1]}@{match[2].lower()}"
    return _parse(text, grammar)


def _parse(text: str, grammar: Grammar) -> str:
    if not text:
        raise AddressError("the address is empty")
    if _FORBIDDEN.search(text):
        raise AddressError("the address holds a control character, a space or an angle bracket")
    local, at, domain = text.rpartition("@")
    if domain.endswith('"') and len(domain) > 1:  # the last @ stood inside quotes: there is no domain
        local, at, domain = text, "", ""
    if not at and grammar.bare:
        local, domain = text, ""
    elif not local or not domain:
        raise AddressError("the address has no local part or no domain")
    result = _local(local, grammar)
    if domain:
        result += "@" + _domain(domain, grammar)
    if len(result.encode()) > ADDRESS_BYTES:
        raise AddressError("the address is longer than 254 octets")
    return result


def _domain(text: str, grammar: Grammar) -> str:
    try:
        if text.startswith("["):
            if not grammar.literals:
                raise AddressError("addresses at an IP address are not taken")
            return canonical_literal(text)
        return canonical_domain(text, lenient=grammar.lenient)
    except DomainError as error:
        raise AddressError(str(error)) from error


def _local(text: str, grammar: Grammar) -> str:
    try:
        octets = len(text.encode())
    except UnicodeEncodeError:
        raise AddressError("the address is not valid UTF-8") from None
    if octets > LOCAL_BYTES:
        raise AddressError("the local part is longer than 64 octets")
    if not text.isascii():
        _check_beyond_ascii(text, grammar)
    quoted = _QUOTED.fullmatch(text)
    plain = _UNESCAPE.sub(r"\1", quoted[1]) if quoted else text
    if not plain:
        raise AddressError("the quoted local part is empty")
    if _is_dot_string(plain):
        return plain
    if quoted:
        return '"' + _ESCAPE.sub(r"\\\1", plain) + '"'
    if grammar.lenient and _is_dot_string(plain.replace(".", "")):
        if octets + len('""') > LOCAL_BYTES:  # the quotes count, too
            raise AddressError("the local part is longer than 64 octets once it is quoted")
        return f'"{plain}"'
    raise AddressError("the local part holds a character that must be quoted")


def _is_dot_string(text: str) -> bool:
    if text.isascii():
        return _DOT_STRING.fullmatch(text) is not None
    # Beyond ASCII every character is atext (RFC 6531 §3.3); those not wanted were refused before.
    return _DOT_STRING.fullmatch("".join(char if char < "\x80" else "x" for char in text)) is not None


def _check_beyond_ascii(text: str, grammar: Grammar) -> None:
    if not grammar.utf8:
        raise AddressError("the local part needs SMTPUTF8")
    if any(unicodedata.category(char)[0] in "CZ" for char in text):
        raise AddressError("the local part holds an invisible character")


def domain_of(address: str) -> str:
    """Give the domain of a canonical address; empty for the null sender and bare names."""
    return "" if address.endswith('"') else address.rpartition("@")[2] if "@" in address else ""


def needs_utf8(address: str) -> bool:
    """Whether this canonical address can only be sent with SMTPUTF8 (RFC 6531 §3.4)."""
    return not address.isascii()
