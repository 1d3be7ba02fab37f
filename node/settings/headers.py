"""Headers that go along with requests of ours, kept as a secret: ``name=value`` lines."""

from node.errors import ConfigurationError
from node.settings.base import SecretRef
from node.settings.secrets import read_secret


def headers_in(ref: SecretRef | None, place: str) -> dict[str, str]:
    """Read them, names in lower case. Raises ConfigurationError naming the place and the line's number only."""
    headers: dict[str, str] = {}
    for number, line in enumerate(read_secret(ref).reveal().splitlines() if ref is not None else (), 1):
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError([f"{place}: line {number} is not name=value"])
        headers[name.strip().lower()] = value.strip()
    return headers
