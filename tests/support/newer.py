"""Runs a daemon as another version than it is: ``newer.py node|coordinator VERSION CONFIG [--node NAME]``."""

import sys
from pathlib import Path


def main(daemon: str, version: str, *arguments: str) -> int:
    from tests.support.releases import BY_NAME

    product = BY_NAME[version]
    if daemon == "coordinator":
        from coordinator.__main__ import main as coordinate

        return coordinate(list(arguments), product.release)
    from node.app.run import run

    config, *named = arguments
    return run(Path(config), node_name=named[1] if named else None, product=product)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])
    sys.exit(main(*sys.argv[1:]))
