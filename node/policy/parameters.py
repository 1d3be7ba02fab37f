"""What follows MAIL FROM and RCPT TO: paths and ESMTP parameters, each decoded once and judged.

Answers with plain values or ParameterError; replies are made in admission. Source: RFC 5321 §4.1.2, RFC 3461 §4,
RFC 1870, RFC 6152, RFC 6531, RFC 6710, RFC 4954 §5.
"""

import re

from node.policy.addresses import AddressError, parse_address
from node.policy.envelope import Notify

PARAMETERS = 20
ENVID_CHARS = 100
ORCPT_CHARS = 500
_PATH = re.compile(r'<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>')
_ROUTE = re.compile(r"@[A-Za-z0-9.,@:-]*:(?=[^:@]+@)")
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}")
_VALUE = re.compile(r"[!-<>-~\x80-\U0010ffff]+")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEX = re.compile(r"\+([0-9A-F]{2})")
_PRINTABLE = re.compile(r"[ -~]*")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_NOTIFY = {"SUCCESS": Notify.SUCCESS, "FAILURE": Notify.FAILURE, "DELAY": Notify.DELAY}


class ParameterError(ValueError):
    """The argument of a command is wrong; the message says what, without quoting it."""


def split_path(argument: str, *, lenient: bool = False) -> tuple[str, str]:
    """Split what follows ``FROM:`` or ``TO:`` into the text between the brackets and the parameters.

    ``lenient``: spaces around and inside the brackets, and missing brackets, are forgiven (operations M1). A source
    route is dropped as RFC 5321 appendix C asks. Raises ParameterError.
    """
    text = argument.strip(" ") if lenient else argument
    match = _PATH.match(text)
    if match is None:
        if not lenient or text[:1] in {"", "<"} or ">" in text:
            raise ParameterError("the address must stand in angle brackets")
        path, _, rest = text.partition(" ")
        return path, rest.strip(" ")
    rest = text[match.end() :]
    if rest and not rest.startswith(" "):
        raise ParameterError("a space must stand between the address and its parameters")
    path = match[1].strip(" ") if lenient else match[1]
    return _ROUTE.sub("", path, count=1) if path.startswith("@") else path, rest.strip(" ")


def parse_parameters(text: str) -> dict[str, str]:
    """Read ``KEY=value KEY2``; keys upper-case, no value is the empty text. Raises ParameterError."""
    words = text.split()
    if len(words) > PARAMETERS:
        raise ParameterError("too many parameters")
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        upper = key.upper()
        if _KEYWORD.fullmatch(key) is None or (equals and _VALUE.fullmatch(value) is None):
            raise ParameterError("a parameter is malformed")
        if upper in found:
            raise ParameterError(f"{upper} is given twice")
        found[upper] = value
    return found


def decode_xtext(text: str) -> str:
    """Decode xtext (RFC 3461 §4) exactly once; only printable ASCII may come out. Raises ParameterError."""
    if _XTEXT.fullmatch(text) is None:
        raise ParameterError("xtext is malformed")
    decoded = _HEX.sub(lambda match: chr(int(match[1], 16)), text)
    if _PRINTABLE.fullmatch(decoded) is None:
        raise ParameterError("xtext hides a control character")
    return decoded


def encode_xtext(text: str) -> str:
    """Encode printable ASCII as xtext (RFC 3461 §4)."""
    return "".join(char if "!" <= char <= "~" and char not in "+=" else f"+{ord(char):02X}" for char in text)


def parse_envid(value: str) -> str:
    """Give ENVID decoded; at most 100 characters (RFC 3461 §4.4). Raises ParameterError."""
    if not value or len(value) > ENVID_CHARS:
        raise ParameterError("ENVID is empty or longer than 100 characters")
    return decode_xtext(value)


def parse_orcpt(value: str) -> str:
    """Check ORCPT and give it as ``type;xtext``, type in lower case (RFC 3461 §4.2). Raises ParameterError.

    ``utf-8`` addresses (RFC 6533) may hold text beyond ASCII; angle brackets and controls are refused in any type.
    """
    kind, semicolon, text = value.partition(";")
    if not semicolon or not text or len(value) > ORCPT_CHARS or _ADDRESS_TYPE.fullmatch(kind) is None:
        raise ParameterError("ORCPT is not type;address")
    if kind.lower() == "utf-8":
        if not text.isprintable() or any(char in "<> " for char in text):
            raise ParameterError("ORCPT holds a control character, a space or an angle bracket")
        return f"utf-8;{text}"
    if any(char in "<>" for char in decode_xtext(text)):
        raise ParameterError("ORCPT holds an angle bracket")
    return f"{kind.lower()};{text}"


def parse_notify(value: str) -> int:
    """Give NOTIFY as bits; NEVER stands alone (RFC 3461 §4.1). Raises ParameterError."""
    words = value.upper().split(",")
    if words == ["NEVER"]:
        return Notify.NEVER.value
    if len(set(words)) != len(words) or not all(word in _NOTIFY for word in words):
        raise ParameterError("NOTIFY is NEVER or a list of SUCCESS, FAILURE, DELAY")
    return sum(_NOTIFY[word].value for word in words)


def check_auth_parameter(value: str) -> None:
    """Check AUTH= of MAIL (RFC 4954 §5); nobody's word for it is trusted. Raises ParameterError."""
    decoded = decode_xtext(value)
    if decoded == "<>":
        return
    try:
        parse_address(decoded)
    except AddressError as error:
        raise ParameterError("AUTH is neither <> nor an address") from error
