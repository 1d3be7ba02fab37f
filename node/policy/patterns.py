"""Address patterns of the configuration: ``*@contoso.com``, ``scan-*@contoso.com``, ``*@*.corp.local``.

``*`` stands for any text inside its half of the address; letters' case never matters, as with Exchange. Knows nothing
of what a match means.
"""

import re
from collections.abc import Iterable

from node.policy.addresses import AddressError, Grammar, parse_address
from node.policy.domains import DomainError, canonical_domain

EVERYTHING = frozenset({"*", "*@*"})
PATTERN_BYTES = 320
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\x80-\U0010ffff-]+")
_DOMAIN = re.compile(r"[a-z0-9*._-]+")
_BARE = Grammar(bare=True, literals=True, utf8=True, lenient=True)


class PatternSet:
    """Several patterns asked at once: exact addresses and whole domains by look-up, the rest by one expression."""

    __slots__ = ("_domains", "_exact", "_globs", "everything", "patterns")

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Compile; raises AddressError naming the first pattern that is none."""
        self.patterns = tuple(patterns)
        self.everything = False
        exact, domains, globs = set(), set(), []
        for pattern in self.patterns:
            text = normal_pattern(pattern)
            local, _, domain = text.rpartition("@")
            if text in EVERYTHING:
                self.everything = True
            elif "*" not in text:
                exact.add(text)
            elif local == "*" and "*" not in domain:
                domains.add(domain)
            else:
                globs.append(_expression(text))
        self._exact, self._domains = frozenset(exact), frozenset(domains)
        self._globs = re.compile("|".join(globs), re.DOTALL) if globs else None

    def matches(self, address: str) -> bool:
        """Whether any pattern matches this canonical address."""
        if self.everything:
            return True
        folded = address.lower()
        _, at, domain = folded.rpartition("@")
        if folded in self._exact or (at and domain in self._domains):
            return True
        return self._globs is not None and self._globs.fullmatch(folded) is not None

    def __bool__(self) -> bool:
        """Whether there is any pattern."""
        return bool(self.patterns)

    def __eq__(self, other: object) -> bool:
        """Sets are equal when their patterns are."""
        return isinstance(other, PatternSet) and self.patterns == other.patterns

    def __hash__(self) -> int:
        """By the patterns."""
        return hash(self.patterns)

    def __repr__(self) -> str:
        """Show the patterns."""
        return f"PatternSet({self.patterns!r})"


def matches(pattern: str, address: str) -> bool:
    """Whether one pattern matches one canonical address; for repeated questions build a PatternSet."""
    return PatternSet((pattern,)).matches(address)


def normal_pattern(pattern: str) -> str:
    """Give the pattern in the form addresses are compared in. Raises AddressError naming it."""
    text = pattern.strip()
    if len(text) > PATTERN_BYTES:
        raise AddressError(f"the pattern {pattern[:40]!r}… is longer than {PATTERN_BYTES} characters")
    try:
        return _normal(text)
    except (AddressError, DomainError) as error:
        raise AddressError(f"{pattern!r} is no address pattern: {error}") from error


def _normal(text: str) -> str:
    if "*" not in text:
        return parse_address(text, _BARE).lower()
    local, at, domain = text.rpartition("@")
    if not at:
        local, domain = text, ""
    folded = domain.lower() if domain.isascii() else ".".join(map(_label, domain.split(".")))
    if _LOCAL.fullmatch(local) is None or (at and _DOMAIN.fullmatch(folded) is None):
        raise AddressError("it holds a character that neither an address nor a pattern may hold")
    return f"{local.lower()}{at}{folded}"


def _label(label: str) -> str:
    return label if "*" in label else canonical_domain(label, lenient=True)


def _expression(pattern: str) -> str:
    local, at, domain = pattern.rpartition("@")
    if not at:
        local, domain = pattern, ""
    return f"(?:{_glob(local, '.*')}{at}{_glob(domain, '[^@]*')})"


def _glob(text: str, star: str) -> str:
    return star.join(re.escape(piece) for piece in text.split("*"))
