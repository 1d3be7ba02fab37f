"""What every part of the settings shares: frozen, unknown keys refused; secrets are references, never values."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

from node.policy.addresses import AddressError, Grammar, parse_address
from node.policy.domains import DomainError, canonical_domain
from node.policy.patterns import normal_pattern

_MAILBOX = Grammar(utf8=True)


class Part(BaseModel):
    """A part of the configuration: immutable once read, every key known."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """Read a relative path as lying beside the configuration file, wherever the program was started."""
    return info.context["base"] / path if info.context else path


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


FilePath = Annotated[Path, AfterValidator(_beside_the_file)]
"""A path; relative ones lie beside the configuration file."""
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
"""A name given by the administrator; it becomes part of metric labels, lanes and file names."""
Domain = Annotated[str, BeforeValidator(_domain, json_schema_input_type=str)]
OwnedDomain = Annotated[str, BeforeValidator(_owned_domain, json_schema_input_type=str)]
Mailbox = Annotated[str, BeforeValidator(_mailbox, json_schema_input_type=str)]
RewriteTarget = Annotated[str, BeforeValidator(_rewrite_target, json_schema_input_type=str)]
AddressPattern = Annotated[str, BeforeValidator(_pattern, json_schema_input_type=str)]


class SecretRef(Part):
    """Where a secret lies: a file, a systemd credential, or (development only) an environment variable."""

    file: FilePath | None = None
    """File holding the secret; one newline at its end does not count."""
    credential: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$")
    """Name of a systemd credential, read from ``$CREDENTIALS_DIRECTORY``."""
    env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of an environment variable; readable by others, so for development only."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.file, self.credential, self.env)) != 1:
            raise ValueError("name exactly one of file, credential or env")
        return self
