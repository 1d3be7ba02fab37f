"""Drives the pure rules of `coordinator/ownership` over a session, the watch and the store."""
