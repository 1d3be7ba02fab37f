"""Tests on addresses."""

from __future__ import annotations

from ipaddress import ip_address


def address(text: object) -> bool:
    """Tell whether a text is an IP address, without a length."""
    try:
        ip_address(str(text))
    except ValueError:
        return False
    return True


class TestModule:
    """The tests by their names."""

    def tests(self) -> dict:
        """Name them."""
        return {"address": address}
