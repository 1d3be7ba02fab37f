"""Members of etcd as the configuration names them: names, IPv4 or IPv6, with or without port. Pure.

``https`` goes without saying. ``http://`` is for this machine only: a demonstration or a test, never a network.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

DEFAULT_PORT: Final = 2379
FORM: Final = "a member of etcd such as etcd-1.corp, 10.1.0.5:2379 or [fd00::5]:2379"
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_PORT_MAX = 65535
_HOST_MAX = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One member: where it listens and whether in clear."""

    host: str
    """Name or address; an IPv6 address without brackets."""
    port: int = DEFAULT_PORT
    plain: bool = False

    @property
    def target(self) -> str:
        """Give ``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(value: Any) -> Endpoint:
    """Read one member; raises ValueError saying what was expected."""
    text = value if isinstance(value, str) else ""
    scheme, mark, rest = text.rpartition("://")
    if mark and scheme not in {"http", "https"}:
        raise ValueError(f"expected {FORM}, not {value!r}")
    host, port = _split(rest.removesuffix("/") if mark else rest)
    if not _is_host(host) or (port and not (_PORT.fullmatch(port) and 0 < int(port) <= _PORT_MAX)):
        raise ValueError(f"expected {FORM}, not {value!r}")
    if scheme == "http" and not is_loopback(host):
        raise ValueError("http:// is for a member on this machine only; towards others the connection is encrypted")
    return Endpoint(host=host, port=int(port or DEFAULT_PORT), plain=scheme == "http")


def is_loopback(host: str) -> bool:
    """Tell whether a name or address means this machine."""
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _split(text: str) -> tuple[str, str]:
    """Take host and port apart; the port is empty when there is none, the host when the form is wrong."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        good = bracket and _is_v6(host) and (not rest or (rest.startswith(":") and len(rest) > 1))
        return (host, rest[1:]) if good else ("", "")
    if text.count(":") > 1:
        return (text, "") if _is_v6(text) else ("", "")
    host, colon, port = text.partition(":")
    return (host, port) if not colon or port else ("", "")


def _is_host(host: str) -> bool:
    """Take an address, or a name that is not an address gone wrong: its last label is no number (RFC 3696 §2)."""
    named = _HOST.fullmatch(host) is not None and not host.rstrip(".").rpartition(".")[2].isdigit()
    return 0 < len(host) <= _HOST_MAX and (named or _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_v6(host: str) -> bool:
    return _is_address(host) and isinstance(ip_address(host), IPv6Address)


def _checked(value: Any) -> str:
    """Keep the text as written once it is known to be one."""
    parse_endpoint(value)
    return str(value)


EndpointText = Annotated[str, BeforeValidator(_checked, json_schema_input_type=str)]
