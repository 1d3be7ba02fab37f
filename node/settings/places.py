"""Where each key of the configuration stands, and the findings about it: as the coordinator's settings have them."""

from coordinator.settings.places import MAX_TOLD, Finding, KeyPath, Place, Report, dotted

__all__ = ("MAX_TOLD", "Finding", "KeyPath", "Place", "Report", "dotted")
