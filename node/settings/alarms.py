"""Where alarms go that must not depend on mail."""

from pydantic import Field

from node.settings.base import Part, SecretRef
from node.settings.units import Seconds


class Alarms(Part):
    """Alarms posted to a webhook, as Prometheus' Alertmanager takes them (API v2, ``/api/v2/alerts``)."""

    webhook: str
    """``https://alertmanager.corp:9093/api/v2/alerts``; ``http://`` for loopback."""
    headers: SecretRef | None = None
    """``name=value`` lines sent with each post, e.g. a token."""
    nothing_delivered: Seconds = 900.0
    """Mail waits and none was delivered for so long."""
    urgent_waits: Seconds = 60.0
    """Urgent mail is so old."""
    rests: Seconds = 900.0
    """A path or an account rests for so long; a tenant is told at once."""
    repeat: Seconds = Field(default=300.0, ge=1)
    """What stands is posted again after so long; it counts as over three times as long after the last post."""
