"""Encoded words of a header field turned into text (RFC 2047). Strict: what cannot be decoded is an error. Pure."""

from email.errors import HeaderParseError
from email.header import decode_header


class UndecodableError(ValueError):
    """A field that cannot be read as text."""


def decoded_words(value: str) -> str:
    """Decode an unfolded ASCII value; white space outside encoded words stays as it is. Raises UndecodableError."""
    if "=?" not in value:
        return value
    try:
        parts = decode_header(value)
        text = "".join(one if isinstance(one, str) else one.decode(charset or "ascii") for one, charset in parts)
    except (HeaderParseError, LookupError, UnicodeError, ValueError) as error:
        raise UndecodableError("no text") from error
    if not all(char.isprintable() or char == "\t" for char in text):
        raise UndecodableError("holds control characters")
    return text
