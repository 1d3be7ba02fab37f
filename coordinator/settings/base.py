"""What every part of the settings shares: frozen, unknown keys refused; secrets are references, never values."""

from ipaddress import IPv4Address, IPv6Address, ip_address
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


class Part(BaseModel):
    """A part of the configuration: immutable once read, every key known."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """Read a relative path as lying beside the configuration file, wherever the program was started."""
    return info.context["base"] / path if info.context else path


def parse_address(value: Any) -> IPv4Address | IPv6Address:
    """Read one IP address; ValueError naming the form expected."""
    if isinstance(value, IPv4Address | IPv6Address):
        return value
    try:
        return ip_address(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f"expected an IP address such as 10.1.0.10 or fd00::10, not {value!r}") from None


Address = Annotated[IPv4Address | IPv6Address, BeforeValidator(parse_address, json_schema_input_type=str)]
FilePath = Annotated[Path, AfterValidator(_beside_the_file)]
"""A path; relative ones lie beside the configuration file."""
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
"""A name given by the administrator; it becomes part of metric labels, keys, certificates and file names."""
Port = Annotated[int, Field(ge=1, le=65535)]
"""A TCP port others must know, so none the system may choose."""


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
