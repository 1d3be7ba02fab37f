"""Turns the settings into the plain values the front door decides with; every fault named with its place."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from node.errors import ConfigurationError
from node.policy.addresses import AddressError, Grammar, parse_address
from node.policy.clients import (
    BouncesTo,
    ClientConflictError,
    ClientIndex,
    ClientRule,
    Limit,
    OverLimit,
    To,
    fold_user,
)
from node.policy.domains import DomainError, canonical_domain
from node.policy.envelope import Copies
from node.policy.passwords import PasswordHashError, StoredPassword, kind_of
from node.policy.patterns import PatternSet
from node.policy.return_path import ReturnAddresses, addresses_of
from node.policy.returned import RETURNS
from node.policy.rewrite import Rewriter, SenderRewrite
from node.policy.rulebook import IntakeRules, TenantDomains
from node.settings.mail import Client, Plan
from node.settings.model import Settings
from node.settings.places import KeyPath
from node.settings.suppressed import NAME, SuppressedFile
from node.settings.units import Rate

DEFAULT_PLAN = Plan()
_PLAIN = Grammar(utf8=True)
_T = TypeVar("_T")
_P = ParamSpec("_P")


ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def client_rules(settings: Settings) -> tuple[ClientRule, ...]:
    """Give every client with its plan resolved. Raises ConfigurationError with every fault."""
    faults: list[str] = []
    rules = [
        rule
        for name, client in settings.clients.items()
        if (rule := _client_rule(settings, name, client, faults)) is not None
    ]
    if faults:
        raise ConfigurationError(faults)
    return (*rules, *_returns(settings))


def intake_rules(settings: Settings, hostname: str) -> IntakeRules:
    """Give all the front door decides with; ``hostname`` is the host's own, used where the settings name none.

    Raises ConfigurationError with every fault.
    """
    faults: list[str] = []
    rules = _try(faults, "", client_rules, settings) or ()
    clients = _try(faults, "clients: ", ClientIndex, rules) or ClientIndex()
    rewriter = _try(faults, "", _rewriter, settings) or Rewriter()
    domains = _try(faults, "tenants: ", _tenant_domains, settings) or TenantDomains({})
    name = _try(faults, "hostname: ", canonical_domain, settings.hostname or hostname, lenient=True)
    if faults or name is None:
        raise ConfigurationError(faults)
    cluster = settings.cluster.name if settings.cluster else name
    return IntakeRules(
        clients=clients,
        rewriter=rewriter,
        domains=domains,
        hostname=name,
        marker=f"m365-relay {cluster}",
        size_bytes=settings.limits.size,
        returns=return_addresses(settings),
        suppressed=SuppressedFile(settings.runtime / NAME) if settings.suppression.mode == "refuse" else None,
        received_full=settings.received == "full",
    )


def return_addresses(settings: Settings) -> ReturnAddresses:
    """Give the addresses reports on our own mail come back to."""
    return addresses_of(settings.bounces.return_path, {name: part.domains for name, part in settings.tenants.items()})


def _returns(settings: Settings) -> tuple[ClientRule, ...]:
    """Give the rule of the networks that may hand in reports and nothing else."""
    bounces = settings.bounces
    if not bounces.return_path or not bounces.accept_from:
        return ()
    rule = ClientRule(
        name=RETURNS,
        networks=bounces.accept_from,
        senders=PatternSet(("*",)),
        returns_only=True,
        size_bytes=settings.limits.size,
        copies=Copies.ONE,
    )
    return (rule,)


def users(settings: Settings) -> dict[str, tuple[StoredPassword, ...]]:
    """Give each user's passwords, those of all clients naming it together. Raises ConfigurationError."""
    faults: list[str] = []
    found: dict[str, tuple[str, list[StoredPassword]]] = {}
    for name, client in settings.clients.items():
        if client.passwords and not client.user:
            faults.append(f"clients.{name}.passwords: there is no user they belong to")
        for place, password in enumerate(client.passwords):
            user = client.user or ""
            if password.hash.endswith(ELLIPSIS):  # an example's: nobody signs in with it, the check warns of it
                found.setdefault(fold_user(user), (user, []))
                continue
            _try(faults, f"clients.{name}.passwords.{place}: ", kind_of, password.hash)
            stored = StoredPassword(hash=password.hash, until=password.until)
            found.setdefault(fold_user(user), (user, []))[1].append(stored)
    for name, client in settings.clients.items():
        if client.user and fold_user(client.user) not in found:
            faults.append(f"clients.{name}.user: no password is given for {client.user!r}")
    if faults:
        raise ConfigurationError(faults)
    return {user: tuple(dict.fromkeys(passwords)) for user, passwords in found.values()}


def _client_rule(settings: Settings, name: str, client: Client, faults: list[str]) -> ClientRule | None:
    place = f"clients.{name}."
    before = len(faults)
    plan = settings.plans.get(client.plan, DEFAULT_PLAN) if client.plan else DEFAULT_PLAN
    if client.plan and client.plan not in settings.plans:
        faults.append(f"{place}plan: there is no plan {client.plan!r}")
    sets = {
        key: _try(faults, f"{place}{key}: ", PatternSet, getattr(client, key)) for key in ("senders", "allow", "deny")
    }
    redirect = _address(faults, f"{place}redirect: ", client.redirect)
    owner = _address(faults, f"{place}owner: ", client.owner)
    senders, allow, deny = sets["senders"], sets["allow"], sets["deny"]
    if len(faults) > before or senders is None or allow is None or deny is None:
        return None
    outside = plan.outside_tenant if client.outside_tenant is None else client.outside_tenant
    return ClientRule(
        name=name,
        networks=client.networks,
        user=client.user or "",
        certificate=client.certificate or "",
        senders=senders,
        to=To(client.to or plan.to),
        allow=allow,
        deny=deny,
        redirect=redirect,
        plan=client.plan or "",
        rate=_limit(plan.rate),
        recipients=_limit(plan.recipients),
        size_bytes=plan.size or settings.limits.size,
        max_recipients=plan.max_recipients,
        priority=plan.priority,
        expire_s=plan.expire,
        retry_delays_s=plan.retry.delays,
        retry_jitter=plan.retry.jitter,
        over_limit=OverLimit(plan.over_limit),
        copies=copies_in_force(settings, name)[0],
        on_unknown=plan.on_unknown,
        bounces=BouncesTo(plan.bounces),
        outside_tenant=outside,
        owner=owner,
        trace=client.trace,
    )


def copies_in_force(settings: Settings, client: str = "", plan: str = "") -> tuple[Copies, KeyPath]:
    """Say how many machines keep a client's mail, or that of a plan, and which key says so; none does: one machine."""
    who = settings.clients.get(client)
    plan = plan or (who.plan or "" if who is not None else "")
    wishes = {
        ("clients", client, "copies"): who.copies if who is not None else None,
        ("plans", plan, "copies"): settings.plans[plan].copies if plan in settings.plans else None,
        ("cluster", "copies"): settings.cluster.copies if settings.cluster is not None else None,
    }
    return next(((Copies(wish), place) for place, wish in wishes.items() if wish is not None), (Copies.ONE, ()))


def _limit(rate: Rate | None) -> Limit | None:
    return Limit(*rate) if rate is not None else None


def _rewriter(settings: Settings) -> Rewriter:
    rules = [
        SenderRewrite(senders=PatternSet((rule.sender,)), to=rule.to, keep_reply_to=rule.reply_to == "keep")
        for rule in settings.rewrite
    ]
    domain = canonical_domain(settings.default_domain) if settings.default_domain else ""
    return Rewriter(rules, settings.aliases, domain)


def _tenant_domains(settings: Settings) -> TenantDomains:
    owners: dict[str, str] = {}
    for name, tenant in settings.tenants.items():
        for domain in tenant.domains:
            if owners.setdefault(domain.lower(), name) != name:
                raise DomainError(f"{domain!r} belongs to {owners[domain.lower()]!r} and {name!r}")
    return TenantDomains(owners, next(iter(settings.tenants), ""))


def _address(faults: list[str], place: str, text: str | None) -> str:
    return (_try(faults, place, parse_address, text, _PLAIN) or "") if text else ""


def _try(faults: list[str], place: str, make: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
    """Make a value, or note what is wrong with it and where."""
    try:
        return make(*args, **kwargs)
    except ConfigurationError as error:
        faults += error.faults
    except (AddressError, DomainError, ClientConflictError, PasswordHashError) as error:
        faults.append(f"{place}{error}")
    return None
