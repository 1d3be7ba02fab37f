"""Builds packages: ``python -m packages [--to dist] [--cache build] [--machine x86_64] [deb] [rpm] [bundle]``."""

import argparse
import sys
import tempfile
from pathlib import Path

from packages import bundle, deb, rpm, tree, units
from packages.target import BuildError, Target, target

KINDS = ("bundle", "deb", "rpm")


def main(words: list[str]) -> int:
    """Build what *words* ask for and say what was made; exit code 1 with the reason when that fails."""
    parser = argparse.ArgumentParser(prog="python -m packages", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)}; all when none is named")
    parser.add_argument("--to", type=Path, default=Path("dist"), help="where they go")
    parser.add_argument("--cache", type=Path, default=Path("build"), help="where downloaded wheels are kept")
    parser.add_argument("--machine", default="", help="x86_64 or aarch64; this machine's when absent")
    given = parser.parse_args(words)
    for kind in given.kinds:
        if kind not in KINDS:
            parser.error(f"{kind!r}: expected {', '.join(KINDS)}")
    try:
        for made in make(target(given.machine), given.kinds or KINDS, given.to, given.cache):
            print(made)
    except BuildError as error:
        print(f"packages: {error}", file=sys.stderr)
        return 1
    return 0


def make(wanted: Target, kinds: tuple[str, ...] | list[str], to: Path, cache: Path) -> list[Path]:
    """Build *kinds* into *to*; what deb and rpm hold is the same tree."""
    to.mkdir(parents=True, exist_ok=True)
    made = []
    with tempfile.TemporaryDirectory(prefix="packages") as work:
        gathered, root = Path(work, "gathered"), Path(work, "root")
        bundle.gather(wanted, cache, gathered)
        if "bundle" in kinds:
            made.append(bundle.build(gathered, wanted, to))
        if set(kinds) & {"deb", "rpm"}:
            tree.install(gathered, wanted, root)
            units.stage(root, wanted)
            (root / units.DOCUMENTS / "sbom.cdx.json").write_bytes((gathered / "sbom.cdx.json").read_bytes())
        if "deb" in kinds:
            made.append(deb.build(root, wanted, to))
        if "rpm" in kinds:
            made.append(rpm.build(root, wanted, to))
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
