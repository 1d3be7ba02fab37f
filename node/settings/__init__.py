"""Reads one YAML file and its client files into a frozen tree; names every fault at once."""
