"""Forms of domains, addresses and patterns; the base of every part comes from the coordinator's settings."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from coordinator.settings.base import FilePath, Name, Part, SecretRef
from node.policy.addresses import AddressError, Grammar, parse_address
from node.policy.domains import DomainError, canonical_domain
from node.policy.patterns import normal_pattern

__all__ = (
    "AddressPattern",
    "Domain",
    "FilePath",
    "Mailbox",
    "Name",
    "OwnedDomain",
    "Part",
    "RewriteTarget",
    "SecretRef",
)
_MAILBOX = Grammar(utf8=True)


def _text(value: Any, form: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {form}, not {value!r}")  # noqa: TRY004 - pydantic collects only this one
    return value


def _domain(value: Any) -> str:
    form = "a domain such as contoso.com"
    try:
        return canonical_domain(_text(value, form))
    except DomainError as error:
        raise ValueError(f"expected {form}, not {value!r}: {error}") from None


def _owned_domain(value: Any) -> str:
    """Read an accepted domain; ``*.contoso.com`` owns every name below contoso.com."""
    if isinstance(value, str) and value.startswith("*."):
        return "*." + _domain(value.removeprefix("*."))
    return _domain(value)


def _mailbox(value: Any) -> str:
    form = "an address such as it@contoso.com"
    try:
        return parse_address(_text(value, form), _MAILBOX)
    except AddressError as error:
        raise ValueError(f"expected {form}, not {value!r}: {error}") from None


def _rewrite_target(value: Any) -> str:
    """Read where a rewrite leads: an address, or ``*@domain`` to keep the local part."""
    if isinstance(value, str) and value.startswith("*@"):
        return "*@" + _domain(value.removeprefix("*@"))
    return _mailbox(value)


def _pattern(value: Any) -> str:
    form = 'an address or a pattern such as "*@contoso.com"'
    try:
        return normal_pattern(_text(value, form))
    except AddressError as error:
        raise ValueError(f"expected {form}, not {value!r}: {error}") from None


Domain = Annotated[str, BeforeValidator(_domain, json_schema_input_type=str)]
OwnedDomain = Annotated[str, BeforeValidator(_owned_domain, json_schema_input_type=str)]
Mailbox = Annotated[str, BeforeValidator(_mailbox, json_schema_input_type=str)]
RewriteTarget = Annotated[str, BeforeValidator(_rewrite_target, json_schema_input_type=str)]
AddressPattern = Annotated[str, BeforeValidator(_pattern, json_schema_input_type=str)]
