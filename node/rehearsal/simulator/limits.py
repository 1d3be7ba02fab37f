"""Limits and habits of the simulated Graph: frozen values of the directory. Decides nothing."""

from pydantic import Field

from node.settings.base import Part
from node.settings.units import Bytes, Seconds


class GraphLimits(Part):
    """The figures of facts m365 §1.2 F and §2.1."""

    concurrency: int = Field(default=4, ge=1)
    """Requests at once of one application for one mailbox; one more is told 429."""
    requests: int = Field(default=10_000, ge=1)
    """The same in ten minutes."""
    upload: Bytes = 150 << 20
    """Bytes uploaded in five minutes."""
    request: Bytes = 4 << 20
    """Largest request; a larger one is told 413."""
    retry_after: Seconds = 10.0
    """What a 429 asks for."""
    sent_items_after: Seconds = 0.0
    """A copy is in Sent Items so much later; divided by the time scale."""
    trace_after: Seconds = 60.0
    """A message is in the trace so much later; divided by the time scale."""
