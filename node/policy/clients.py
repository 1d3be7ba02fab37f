"""Who is talking: finds the one client rule a session falls under (operations M4, A7).

Order: client certificate, then user, then longest network prefix; all that a rule names must match; two rules nobody
could tell apart are refused when the index is built. Knows nothing of passwords or sockets.
"""

from collections.abc import Iterable
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

import msgspec

from node.policy.envelope import Copies, OnUnknown, Priority
from node.policy.patterns import PatternSet

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
MiB = 1 << 20


class Limit(NamedTuple):
    """``amount`` in any ``window_s`` seconds."""

    amount: int
    window_s: float


class To(StrEnum):
    """Which recipients a client may name where neither ``allow`` nor ``deny`` speaks."""

    INTERNAL = "internal"
    ANY = "any"


class OverLimit(StrEnum):
    """What happens to mail beyond the client's rate."""

    REFUSE = "refuse"
    HOLD = "hold"


class BouncesTo(StrEnum):
    """Who gets failure reports."""

    SENDER = "sender"
    OWNER = "owner"


class ClientRule(msgspec.Struct, frozen=True, kw_only=True):
    """One client with its plan resolved into values: everything the front door needs to know about it."""

    name: str
    networks: tuple[Network, ...] = ()
    user: str = ""
    certificate: str = ""
    """Subject CN or DNS/URI SAN of the client certificate; compared without case."""
    senders: PatternSet
    null_sender: bool = True
    """Takes ``MAIL FROM:<>``: its From is checked all the same, and no report can go anywhere."""
    to: To = To.ANY
    allow: PatternSet = PatternSet()
    deny: PatternSet = PatternSet()
    redirect: str = ""
    plan: str = ""
    rate: Limit | None = None
    recipients: Limit | None = None
    size_bytes: int = 150 * MiB
    max_recipients: int = 500
    priority: Priority = Priority.NORMAL
    expire_s: float = 2 * 86_400.0
    retry_delays_s: tuple[float, ...] = (60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
    retry_jitter: float = 0.2
    over_limit: OverLimit = OverLimit.REFUSE
    copies: Copies = Copies.PREFERRED
    on_unknown: OnUnknown = OnUnknown.RESEND
    bounces: BouncesTo = BouncesTo.SENDER
    outside_tenant: bool = False
    returns_only: bool = False
    """May hand in mail for the return path, and nothing else."""
    owner: str = ""
    trace: bool = False
    """Its ``traceparent`` header is trusted."""

    @property
    def checked(self) -> bool:
        """Whether the senders it may use are limited at all."""
        return not self.senders.everything


class ClientConflictError(ValueError):
    """Rules that cannot stand beside each other; names both."""


class _Prefixes:
    """Longest-prefix look-up: one table per prefix length in use, longest first."""

    __slots__ = ("_tables", "anywhere")

    def __init__(self) -> None:
        self._tables: dict[int, list[tuple[int, dict[int, ClientRule]]]] = {4: [], 6: []}
        self.anywhere: ClientRule | None = None

    def add(self, rule: ClientRule) -> None:
        """Enter a rule under each of its networks. Raises ClientConflictError."""
        if not rule.networks:
            if self.anywhere is not None:
                raise _conflict(self.anywhere, rule, "same certificate and user, and no network")
            self.anywhere = rule
        for network in dict.fromkeys(rule.networks):
            table = self._table(network.version, network.prefixlen)
            key = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
            if key in table:
                raise _conflict(table[key], rule, f"same certificate and user, and both name {network}")
            table[key] = rule

    def _table(self, version: int, length: int) -> dict[int, ClientRule]:
        tables = self._tables[version]
        for known, table in tables:
            if known == length:
                return table
        fresh: dict[int, ClientRule] = {}
        tables.append((length, fresh))
        tables.sort(key=lambda item: -item[0])
        return fresh

    def find(self, address: Address) -> ClientRule | None:
        number, bits = int(address), address.max_prefixlen
        for length, table in self._tables[address.version]:
            rule = table.get(number >> (bits - length))
            if rule is not None:
                return rule
        return self.anywhere


KNOWN_ADDRESSES = 4096
"""When so many are remembered, all are forgotten."""


class ClientIndex:
    """All client rules, ready to be asked per session."""

    def __init__(self, rules: Iterable[ClientRule] = ()) -> None:
        """Build; raises ClientConflictError when two rules are equal or one names nobody."""
        self.rules = tuple(rules)
        self.by_name = {rule.name: rule for rule in self.rules}
        self._tables: dict[tuple[str, str], _Prefixes] = {}
        self._known: dict[tuple[str, bool], ClientRule | None] = {}
        """Found before for an address alone: clients come back from the same few thousand."""
        for rule in self.rules:
            if not (rule.networks or rule.user or rule.certificate):
                raise ClientConflictError(f"client {rule.name!r} names neither networks nor user nor certificate")
            key = (rule.certificate.casefold(), fold_user(rule.user))
            self._tables.setdefault(key, _Prefixes()).add(rule)

    def match(
        self,
        ip: str | Address,
        user: str = "",
        certificate_names: Iterable[str] = (),
        *,
        auth_required: bool = False,
    ) -> ClientRule | None:
        """Give the rule this session falls under, or None: then nothing is relayed (I8).

        ``auth_required``: the listener demands AUTH, so without a user only a certificate rule can match (A7).
        ``certificate_names`` in the certificate's order: the first that has a rule wins.
        """
        if certificate_names or user or not isinstance(ip, str):
            return self._match(ip, user, certificate_names, auth_required=auth_required)
        key = ip, auth_required
        if key not in self._known:
            if len(self._known) >= KNOWN_ADDRESSES:
                self._known.clear()
            self._known[key] = self._match(ip, "", (), auth_required=auth_required)
        return self._known[key]

    def _match(
        self, ip: str | Address, user: str, certificate_names: Iterable[str], *, auth_required: bool
    ) -> ClientRule | None:
        address = plain_address(ip)
        folded = fold_user(user)
        for certificate in (*(name.casefold() for name in certificate_names), ""):
            if certificate or not auth_required or folded:
                rule = self._find(certificate, folded, address)
                if rule is not None:
                    return rule
        return None

    def _find(self, certificate: str, user: str, address: Address) -> ClientRule | None:
        for name in (user, "") if user else ("",):
            table = self._tables.get((certificate, name))
            rule = table.find(address) if table is not None else None
            if rule is not None:
                return rule
        return None

    def explain(
        self,
        ip: str | Address,
        user: str = "",
        certificate_names: Iterable[str] = (),
        *,
        auth_required: bool = False,
    ) -> tuple[str, ...]:
        """Say for each rule why it does or does not match this session, and last which one wins."""
        address, names = plain_address(ip), tuple(certificate_names)
        lines = [
            f"{rule.name}: {'; '.join(misses) or 'matches by ' + _criteria(rule, address)}"
            for rule in self.rules
            for misses in [_misses(rule, address, user, names, auth_required=auth_required)]
        ]
        winner = self.match(address, user, names, auth_required=auth_required)
        lines.append(f"result: client {winner.name!r}" if winner else "result: no client, nothing is relayed")
        return tuple(lines)


def fold_user(user: str) -> str:
    """User names are compared without case, in the rules and in the password table alike."""
    return user.casefold()


def plain_address(ip: str | Address) -> Address:
    """Give the address as a value, an IPv4-mapped IPv6 one as IPv4; the zone of a link-local one does not count."""
    address = ip_address(ip.partition("%")[0]) if isinstance(ip, str) else ip
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _conflict(first: ClientRule, second: ClientRule, why: str) -> ClientConflictError:
    return ClientConflictError(f"clients {first.name!r} and {second.name!r} cannot be told apart: {why}")


def _misses(
    rule: ClientRule, address: Address, user: str, names: tuple[str, ...], *, auth_required: bool
) -> tuple[str, ...]:
    misses = []
    if rule.certificate and rule.certificate.casefold() not in {name.casefold() for name in names}:
        misses.append(f"needs certificate {rule.certificate!r}")
    if rule.user and fold_user(rule.user) != fold_user(user):
        misses.append(f"needs user {rule.user!r}")
    if rule.networks and not any(address in network for network in rule.networks):
        misses.append(f"{address} is in none of its networks")
    if not misses and auth_required and not user and not rule.certificate:
        misses.append("the listener demands AUTH, so a network alone does not count")
    return tuple(misses)


def _criteria(rule: ClientRule, address: Address) -> str:
    parts = [f"certificate {rule.certificate!r}"] if rule.certificate else []
    parts += [f"user {rule.user!r}"] if rule.user else []
    inside = [network for network in rule.networks if address in network]
    parts += [f"network {max(inside, key=lambda network: network.prefixlen)}"] if inside else []
    return " and ".join(parts)
