"""Turns the senders and recipients old software names into ones Microsoft 365 knows (operations M2).

First matching rule wins; a rewritten address is not rewritten again, so there is no loop. Does not know who may send.
"""

from collections.abc import Iterable, Mapping

import msgspec

from node.policy.addresses import AddressError, Grammar, domain_of, parse_address
from node.policy.patterns import PatternSet

ALIAS_STEPS = 5
_ANY = Grammar(utf8=True, bare=True, literals=True, lenient=True)
_TARGET = Grammar(utf8=True)


class SenderRewrite(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: senders matching become ``to``; ``*@domain`` keeps the local part."""

    senders: PatternSet
    to: str
    keep_reply_to: bool = True
    """The old From becomes Reply-To where none is given."""


class Rewriter:
    """The table of rewriting rules, recipient aliases and the default domain."""

    def __init__(
        self,
        rules: Iterable[SenderRewrite] = (),
        aliases: Mapping[str, str] | None = None,
        default_domain: str = "",
    ) -> None:
        """Check every target; raises AddressError naming what cannot be used and where aliases run in a circle."""
        self.rules = tuple(msgspec.structs.replace(rule, to=_target(rule.to)) for rule in rules)
        self.default_domain = default_domain.lower()
        self._aliases = {_key(name): _key(target) for name, target in (aliases or {}).items()}
        for name in self._aliases:
            if domain_of(self.recipient(name)) == "":
                raise AddressError(f"alias {name!r} does not lead to an address with a domain")

    def sender(self, address: str) -> tuple[str, SenderRewrite | None]:
        """Give the sender to use for a canonical (maybe bare) address, and the rule that changed it."""
        full = self.complete(address)
        for rule in self.rules:
            if rule.senders.matches(address) or (full != address and rule.senders.matches(full)):
                return _apply(rule.to, address), rule
        return full, None

    def recipient(self, address: str) -> str:
        """Follow aliases from a canonical (maybe bare) address; ``root`` also answers for ``root@default``.

        Raises AddressError when aliases run in a circle.
        """
        current = address
        for _ in range(ALIAS_STEPS):
            full = self.complete(current)
            found = self._aliases.get(current.lower()) or self._aliases.get(full.lower())
            if found is None and self.default_domain and domain_of(current) == self.default_domain:
                found = self._aliases.get(current.rpartition("@")[0].lower())
            if found is None or found == current:
                return full
            current = found
        raise AddressError(f"the aliases from {address!r} on run in a circle or more than {ALIAS_STEPS} steps")

    def complete(self, address: str) -> str:
        """Add the default domain to a bare address, if there is one."""
        if address and self.default_domain and not domain_of(address):
            return f"{address}@{self.default_domain}"
        return address


def _apply(target: str, address: str) -> str:
    if not target.startswith("*@"):
        return target
    local = address if not domain_of(address) else address.rpartition("@")[0]
    return local + target[1:]


def _key(text: str) -> str:
    try:
        return parse_address(text.strip(), _ANY).lower()
    except AddressError as error:
        raise AddressError(f"alias {text!r}: {error}") from error


def _target(target: str) -> str:
    try:
        if target.startswith("*@"):
            return "*" + parse_address("x" + target[1:], _TARGET)[1:]
        return parse_address(target, _TARGET)
    except AddressError as error:
        raise AddressError(f"rewrite to {target!r}: {error}") from error
