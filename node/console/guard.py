"""What a browser may be led to do with the console, and what stops it. Pure.

``Host`` must be an address or a name of this node, so that no other site's name can be made to point here (DNS
rebinding). What changes something must come from a page of ours by ``Origin`` (RFC 6454) and carry the session's token.
"""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final

from node.errors import PermanentError

COOKIE: Final = "__Host-relay"
"""Never sent over clear HTTP beyond the machine, never to another host, never set by one (RFC 6265bis §4.1.3.2)."""
CSRF: Final = "csrf"
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send a form's Origin as null
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""With every answer."""


class StrangerError(PermanentError):
    """The request was not made for this console, or by no page of its own."""


def check_host(host: str, names: Collection[str]) -> None:
    """Raise StrangerError unless ``Host`` is an address, or one of ``names`` (lower-case); any port will do."""
    name = _name_of(host)
    if name not in names and not _is_address(name):
        known = ", ".join(sorted(names))
        raise StrangerError(
            f"Host: {name[:80]!r} is no name of this node; use its address, {known}, or set admin.names"
        )


def check_origin(origin: str, site: str, scheme: str, host: str) -> None:
    """Raise StrangerError unless a change comes from a page of this console. ``site``: Sec-Fetch-Site, if sent."""
    if origin != f"{scheme}://{host}":
        raise StrangerError(f"Origin: expected this console's own, not {origin[:80]!r}")
    if site not in ("", "same-origin"):
        raise StrangerError(f"Sec-Fetch-Site: expected same-origin, not {site[:20]!r}")


def safe_way(text: str) -> str:
    """Give a place within the console to go back to; anything else leads to its first page."""
    fine = text.startswith("/console/") and "\\" not in text and text.isprintable() and text.isascii()
    return text if fine else "/console/"


def _name_of(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
