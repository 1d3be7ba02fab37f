"""Addresses, networks and days as the configuration writes them; each refusal says what was expected."""

import re
from datetime import date
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Any

from pydantic import BeforeValidator

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def parse_address(value: Any) -> IPv4Address | IPv6Address:
    """Read one IP address; ValueError naming the form expected."""
    if isinstance(value, IPv4Address | IPv6Address):
        return value
    try:
        return ip_address(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f"expected an IP address such as 10.1.0.10 or fd00::10, not {value!r}") from None


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


Address = Annotated[IPv4Address | IPv6Address, BeforeValidator(parse_address, json_schema_input_type=str)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(parse_network, json_schema_input_type=str)]
Day = Annotated[date, BeforeValidator(parse_day)]
