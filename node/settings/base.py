"""What every part of the settings shares: frozen, unknown keys refused; secrets are references, never values."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Part(BaseModel):
    """A part of the configuration: immutable once read, every key known."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class SecretRef(Part):
    """Where a secret lies: a file, a systemd credential, or (development only) an environment variable."""

    file: Path | None = None
    credential: str | None = None
    """Name of a systemd credential, read from ``$CREDENTIALS_DIRECTORY``."""
    env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.file, self.credential, self.env)) != 1:
            raise ValueError("name exactly one of file, credential or env")
        return self
