"""The names of what can rest, from a way and a sender.

``account/contoso/relay1@contoso.com``, ``pair/contoso/relay1@contoso.com|app@contoso.com``,
``path/contoso/submission``, ``site/contoso/submission@dc1``, ``tenant/contoso``, ``client/billing``; the part of one
that rests is named after ``#``: ``tenant/contoso#external``, ``path/contoso/connector#contoso.de``,
``account/contoso/relay1@contoso.com#submission``.
"""

from node.policy.envelope import Direction
from node.policy.route import Way
from node.policy.verdict import Narrow, Scope, Verdict


def account_scope_name(account: str) -> str:
    """Name an account by its budget scope."""
    return f"account/{account}"


def path_scope(way: Way) -> str:
    """Name the way's path in its tenant."""
    return f"path/{way.tenant}/{way.path}"


def pair_scope(way: Way, sender: str) -> str:
    """Name an account (or a path without accounts) together with the From address it was used with."""
    return f"pair/{way.account or f'{way.tenant}/{way.path}'}|{sender}"


def site_scope(way: Way, site: str) -> str:
    """Name the way's path as seen from one site (operations M10)."""
    return f"site/{way.tenant}/{way.path}@{site}"


def client_scope(client: str) -> str:
    """Name a client rule."""
    return f"client/{client}"


def scopes_of(way: Way, header_from: str, site: str, direction: Direction, client: str) -> tuple[str, ...]:
    """Name every scope whose rest would stop this message on this way, the widest first."""
    sender = header_from.lower()
    domain = sender.rpartition("@")[2]
    path, tenant = path_scope(way), f"tenant/{way.tenant}"
    scopes = [tenant, f"{tenant}#{domain}", path, f"{path}#{domain}", site_scope(way, site)]
    if direction is Direction.EXTERNAL and way.counts_external:
        scopes.append(f"{tenant}#external")
    if way.account:
        account = account_scope_name(way.account)
        scopes += [account, f"{account}#{way.path}"]
    scopes.append(pair_scope(way, sender))
    if client:
        scopes.append(client_scope(client))
    return tuple(scopes)


def failed_scope(way: Way, header_from: str, site: str, verdict: Verdict) -> str:
    """Name the scope a verdict lets rest; empty for verdicts on a recipient, a message or one connection."""
    sender = header_from.lower()
    whole = {
        Scope.ACCOUNT: account_scope_name(way.account) if way.account else path_scope(way),
        Scope.ACCOUNT_FROM: pair_scope(way, sender),
        Scope.PATH_SITE: site_scope(way, site),
        Scope.PATH: path_scope(way),
        Scope.TENANT: f"tenant/{way.tenant}",
    }.get(verdict.scope, "")
    if not whole or verdict.narrow is Narrow.ALL:
        return whole
    parts = {Narrow.EXTERNAL: "external", Narrow.PATH: way.path, Narrow.FROM_DOMAIN: sender.rpartition("@")[2]}
    return whole if verdict.narrow is Narrow.PATH and not way.account else f"{whole}#{parts[verdict.narrow]}"
