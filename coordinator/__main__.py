"""``relay-coordinator``: the daemon of a cluster. A single node coordinates itself, and this says so."""

import sys

EXIT_USAGE = 2


def relay_coordinator() -> None:
    """Explain that there is nothing to coordinate in this version; exit code 2."""
    sys.stderr.write(
        "relay-coordinator: this version runs single nodes, which coordinate themselves within relay-node; "
        "there is nothing to start\n"
    )
    sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    relay_coordinator()
