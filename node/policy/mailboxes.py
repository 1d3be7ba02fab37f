"""Mailbox lists of header fields (From, Sender, Resent-*): the same strict address parser, plus display names.

What cannot be read in exactly one way is refused, so that no second parser downstream sees another sender
(operations §5). Comments are taken apart, never trusted. Source: RFC 5322 §3.2, §3.4, §4.1 (dots in phrases only).
"""

import re
from typing import NamedTuple

from node.policy.addresses import STRICT, AddressError, Grammar, parse_address

MAILBOXES = 100
COMMENT_DEPTH = 3
_WORD = r"[\w!#$%&'*+/=?^`{|}~.-]+"
_PLAIN = r"[^<>\"\s(),;:\[\]\\]+"
_SIMPLE = re.compile(rf'[ \t]*(?:((?:{_WORD}(?:[ \t]+{_WORD})*|"[^"\\<>\r\n]*")?)[ \t]*<({_PLAIN})>|({_PLAIN}))[ \t]*')
_TOKEN = re.compile(
    r'(?P<space>[ \t]+)|(?P<quoted>"(?:[^"\\\r\n\x00]|\\[^\r\n\x00])*")|(?P<special>[<>,;:])'
    r"|(?P<atom>(?:[^\x00-\x20\x7f\"(),:;<>\[\]\\]|\[[^\[\]\\\x00-\x20]*\])+)"
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Mailbox(NamedTuple):
    """One mailbox of a header field."""

    display: str
    """The display name as it stood there (quotes kept, comments dropped); empty if none."""
    address: str
    """Canonical address, see ``parse_address``."""
    quoted: bool = False
    """The display name was quoted here, because readers differ on what it means without: write the field anew."""


def parse_mailboxes(value: str, grammar: Grammar = STRICT) -> tuple[Mailbox, ...]:
    """Read an unfolded field value as a mailbox list; groups, source routes and empty members are refused.

    Raises AddressError. ``value`` is text decoded as UTF-8 (RFC 6532); at most 100 mailboxes.
    """
    if _CONTROL.search(value):
        raise AddressError("the field holds a control character")
    match = _SIMPLE.fullmatch(value)
    if match is not None:
        return (Mailbox(match[1] or "", parse_address(match[2] or match[3], grammar)),)
    members = _members(_tokens(value))
    if len(members) > MAILBOXES:
        raise AddressError("the field names too many mailboxes")
    return tuple(_mailbox(member, grammar) for member in members)


def _tokens(value: str) -> list[tuple[str, str]]:
    """Split into (kind, text); comments become one space."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(value):
        if value[at] == "(":
            at = _after_comment(value, at)
            tokens.append(("space", " "))
            continue
        match = _TOKEN.match(value, at)
        if match is None or match.lastgroup is None:
            raise AddressError("the field cannot be read as a list of mailboxes")
        tokens.append((match.lastgroup, match[0]))
        at = match.end()
    return tokens


def _after_comment(value: str, start: int) -> int:
    depth, at = 0, start
    while at < len(value):
        char = value[at]
        if char == "\\":
            at += 1
        elif char == "(":
            depth += 1
            if depth > COMMENT_DEPTH:
                raise AddressError("comments are nested too deeply")
        elif char == ")":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    raise AddressError("a comment has no end")


def _members(tokens: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    members: list[list[tuple[str, str]]] = [[]]
    inside = False
    for kind, text in tokens:
        if kind == "special" and text in ";:":
            raise AddressError("groups and source routes are not taken")
        if kind == "special" and text in "<>":
            inside = text == "<"
        if kind == "special" and text == "," and not inside:
            members.append([])
        else:
            members[-1].append((kind, text))
    return members


def _mailbox(tokens: list[tuple[str, str]], grammar: Grammar) -> Mailbox:
    texts = [text for _, text in tokens]
    if texts.count("<") > 1 or texts.count(">") != texts.count("<"):
        raise AddressError("angle brackets do not pair")
    if "<" not in texts:
        return Mailbox("", parse_address("".join(texts).strip(), grammar))
    opened, closed = texts.index("<"), texts.index(">")
    if opened > closed or "".join(texts[closed + 1 :]).strip():
        raise AddressError("something follows the address in angle brackets")
    address = parse_address("".join(texts[opened + 1 : closed]).strip(), grammar)
    display, quoted = _display(tokens[:opened], address, grammar)
    return Mailbox(display, address, quoted)


def _display(tokens: list[tuple[str, str]], address: str, grammar: Grammar) -> tuple[str, bool]:
    """Give the display name, and whether it had to be quoted to mean the same to every reader.

    An unquoted ``@`` is an address to some readers: only the very same address may stand there. Unquoted brackets
    (``[Build] Server <a@b>``) are too common to refuse, but not every reader finds the address behind them.
    """
    if any(kind == "special" for kind, _ in tokens):
        raise AddressError("the display name holds a character that must be quoted")
    display = "".join(text for _, text in tokens).strip()
    atoms = [text for kind, text in tokens if kind == "atom"]
    if any("@" in atom for atom in atoms):
        if parse_address(display, grammar) != address:
            raise AddressError("the display name is another address, unquoted")
    elif not any("[" in atom for atom in atoms):
        return display, False
    plain = "".join(text[1:-1] if kind == "quoted" else text for kind, text in tokens).strip()
    return f'"{plain}"', True
