"""How the relay proves to Entra who it is: client secret, certificate, workload identity, managed identity.

One kind for each application; of secrets and certificates there may be two, which overlap while one replaces the other.
"""

from typing import Final, Literal

from node.settings.base import Part, SecretRef
from node.settings.nets import Day

PROOFS: Final = ("secret", "certificate", "federation", "managed_identity")
"""Keys of which exactly one is given."""


class App(Part):
    """The Entra application the relay signs in as, and one way to prove it."""

    client_id: str
    """Application (client) id."""
    secret: SecretRef | None = None
    """Client secret."""
    secret_until: Day | None = None
    """Its last day, as Entra shows it: nothing in the secret tells. Warned of 30, 7 and 1 days before."""
    next_secret: SecretRef | None = None
    """A second one, used when Entra refuses the first: they overlap while one replaces the other."""
    next_secret_until: Day | None = None
    """Its last day."""
    certificate: SecretRef | None = None
    """PEM file with certificate and private key."""
    next_certificate: SecretRef | None = None
    """A second one, used when Entra refuses the first."""
    certificate_password: SecretRef | None = None
    """Password of the private key."""
    federation: SecretRef | None = None
    """Token of a workload identity (federated credential), written anew by whoever issues it."""
    managed_identity: Literal["system", "user"] | None = None
    """Identity of the machine in Azure: its own, or the one assigned to it that `client_id` names."""

    @property
    def proofs(self) -> tuple[str, ...]:
        """Name the kinds given."""
        return tuple(key for key in PROOFS if getattr(self, key) is not None)
