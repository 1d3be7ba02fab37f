"""YAML text as plain values with their places: read as the coordinator's settings read it."""

from coordinator.settings.yamltree import MAX_DEPTH, MAX_FAULTS, MAX_VALUES, Tree, plain_value, read_yaml

__all__ = ("MAX_DEPTH", "MAX_FAULTS", "MAX_VALUES", "Tree", "plain_value", "read_yaml")
