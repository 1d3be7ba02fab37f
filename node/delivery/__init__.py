"""The back door: dispatch, connections, attempts, settlement."""
