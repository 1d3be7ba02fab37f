"""Secrets as the coordinator's settings read them, with the node's own error."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from coordinator.settings import secrets
from coordinator.settings.base import SecretRef
from coordinator.settings.errors import BadSettings
from coordinator.settings.secrets import MAX_SECRET_BYTES, Secret, secret_warnings
from node.errors import ConfigurationError

__all__ = ("MAX_SECRET_BYTES", "Secret", "read_secret", "reader", "secret_path", "secret_warnings")


def secret_path(ref: SecretRef, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Give the file a secret lies in (for libraries that want a path); None for an environment variable.

    Raises ConfigurationError for a credential when systemd handed none over.
    """
    try:
        return secrets.secret_path(ref, environment)
    except BadSettings as error:
        raise ConfigurationError(error.faults) from None


def read_secret(ref: SecretRef, environment: Mapping[str, str] = os.environ) -> Secret:
    """Read the secret *ref* points at, without one newline at its end.

    Raises ConfigurationError naming the place (never the content) when it is missing, unreadable, empty or too large.
    """
    try:
        return secrets.read_secret(ref, environment)
    except BadSettings as error:
        raise ConfigurationError(error.faults) from None


def reader(ref: SecretRef) -> Callable[[], str]:
    """Give a function that reads the secret anew each time, so that a changed file is honoured."""
    return lambda: read_secret(ref).reveal()
