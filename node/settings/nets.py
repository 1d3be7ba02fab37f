"""Networks, hosts and days as the configuration writes them; each refusal says what was expected."""

import re
from datetime import date
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Any

from pydantic import BeforeValidator

from coordinator.settings.base import Address

__all__ = ("Address", "Day", "Network", "host_and_port", "parse_day", "parse_network")

PORT_MAX = 65_535
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_PLACE = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s/@:\[\]]+))(?::(?P<port>\d{1,5}))?", re.ASCII)


def parse_network(value: Any) -> IPv4Network | IPv6Network:
    """Read one network or single address; bits set behind the prefix are refused, with the network meant."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        wide = ip_network(value if isinstance(value, str) else "", strict=False)
    except ValueError:
        raise ValueError(f"expected a network such as 10.1.0.0/16 or fd00::/8, not {value!r}") from None
    if str(value).partition("/")[0] and ip_address(str(value).partition("/")[0]) != wide.network_address:
        raise ValueError(f"{value!r} has bits set behind its prefix; the network is {wide}")
    return wide


def parse_day(value: Any) -> date:
    """Read ``2027-01-31``; ValueError naming the form expected."""
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) and _DAY.fullmatch(value) else "")
    except ValueError:
        raise ValueError(f"expected a day such as 2027-01-31, not {value!r}") from None


def host_and_port(text: str, port: int) -> tuple[str, int]:
    """Read ``host``, ``host:port``, ``[v6]:port`` or an address; *port* where none is given. Raises ValueError."""
    match = _PLACE.fullmatch(text)
    if match is None:
        try:
            return str(IPv6Address(text)), port
        except ValueError:
            raise ValueError(f"expected host or host:port, not {text!r}") from None
    found = int(match["port"]) if match["port"] else port
    if not 0 < found <= PORT_MAX:
        raise ValueError(f"expected a port from 1 to {PORT_MAX}, not {match['port']}")
    return str(IPv6Address(match["six"])) if match["six"] else match["host"], found


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(parse_network, json_schema_input_type=str)]
Day = Annotated[date, BeforeValidator(parse_day)]
