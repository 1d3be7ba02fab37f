"""Bounds of the peer channel: nothing in it grows or waits beyond these. Pure."""

from typing import Final

BODY_MAX: Final = 64 << 10
"""Largest body of a route that names no bound of its own, and largest answer."""
TEXT_MAX: Final = 200
PATH: Final = "/peer/"
CONNECTIONS_MAX: Final = 256
CONNECTIONS_PER_ADDRESS_MAX: Final = 64
"""Handshakes included: one host cannot take the others' place."""
CALLS_MAX: Final = 128
CALLS_PER_NODE_MAX: Final = 32
CONNECTIONS_TO_NODE_MAX: Final = 8
HANDSHAKE_S: Final = 5.0
BODY_S: Final = 5.0
HANDLER_S: Final = 10.0
IDLE_S: Final = 60.0
IDLE_CLIENT_S: Final = 30.0
"""Shorter than the server's, so that a question seldom meets a connection just being closed."""
LINGER_S: Final = 1.0
RETRY_S: Final = 0.1
BACKLOG: Final = 64


def shown(text: str) -> str:
    """Cut a text of another's to what a log line can show."""
    return "".join(char if char.isprintable() else " " for char in text[:TEXT_MAX])
