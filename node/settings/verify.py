"""How mail whose answer was lost is looked for (``on_unknown: verify``)."""

from node.settings.base import Part
from node.settings.units import Seconds


class Verify(Part):
    """How long mail of unknown outcome is looked for before it is sent again or a person must look."""

    settle: Seconds = 300.0
    """Only after this does it count that it was not found in Sent Items."""
    patience: Seconds = 3600.0
    """After this it is held when nothing proves that it was sent, nor that it was not."""
