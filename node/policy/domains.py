"""Mail domains in one comparable form: lower-case A-labels (RFC 5890), mapped as UTS-46 does for lookup.

Knows nothing of who owns a domain. The mapping is NFKC and lower-casing, which is what the UTS-46 table does for every
letter, mark and digit; characters outside those (joiners, symbols, invisible ones) are refused instead of mapped.
"""

import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv6Address

DOMAIN_BYTES = 253
LABEL_BYTES = 63
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_STRICT = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_LOOSE_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_LOOSE = re.compile(rf"{_LOOSE_LABEL}(?:\.{_LOOSE_LABEL})*", re.ASCII)
_LITERAL = re.compile(r"\[(?:(\d[0-9.]{6,14})|[Ii][Pp][Vv]6:([0-9A-Fa-f:.]{2,45}))\]", re.ASCII)
_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")
_LETTERS = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})


class DomainError(ValueError):
    """The text is not a mail domain; the message says why, without quoting it."""


def canonical_domain(text: str, *, lenient: bool = False) -> str:
    """Give the domain in lower-case A-labels; ``lenient`` allows ``_`` and one final dot, as old devices send.

    Raises DomainError. Source: RFC 5321 §4.1.2, RFC 5890, UTS-46 §4.
    """
    domain = text.lower() if text.isascii() else _to_ascii(text)
    if lenient and domain.endswith("."):
        domain = domain[:-1]
    if len(domain) > DOMAIN_BYTES or (_LOOSE if lenient else _STRICT).fullmatch(domain) is None:
        raise DomainError("the domain is not made of letters, digits and hyphens between dots, at most 253 octets")
    if domain.rpartition(".")[2].isdigit():
        raise DomainError("an IP address as domain must stand in brackets")
    return domain


def canonical_literal(text: str) -> str:
    """Give an address literal such as ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]`` in one form. Raises DomainError."""
    match = _LITERAL.fullmatch(text)
    if match is None:
        raise DomainError("not an IPv4 or IPv6 address literal")
    try:
        return f"[{IPv4Address(match[1])}]" if match[1] else f"[IPv6:{IPv6Address(match[2])}]"
    except AddressValueError as error:
        raise DomainError("not an IPv4 or IPv6 address literal") from error


def _to_ascii(text: str) -> str:
    mapped = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text.translate(_DOTS)).lower())
    return ".".join(_label_to_ascii(label) for label in mapped.split("."))


def _label_to_ascii(label: str) -> str:
    if label.isascii():
        return label
    if len(label) > LABEL_BYTES or label[0] == "-" or label[-1] == "-" or label[2:4] == "--":
        raise DomainError("a label of the domain is too long or has a hyphen where none may stand")
    if unicodedata.category(label[0]) in {"Mn", "Mc"}:
        raise DomainError("a label of the domain starts with a combining mark")
    if any(char != "-" and unicodedata.category(char) not in _LETTERS for char in label):
        raise DomainError("the domain holds a character that no domain may hold")
    return "xn--" + label.encode("punycode").decode("ascii")
