"""The offline bundle in the form the role takes: wheels, what to install with hashes, bill of materials, checksums."""

import shutil
import tempfile
from pathlib import Path

from packages import archive, sbom, wheels
from packages.target import ROOT, Target


def gather(target: Target, cache: Path, to: Path) -> None:
    """Put into the empty directory *to* what a bundle holds."""
    (to / "wheels").mkdir(parents=True)
    for wheel in sorted(wheels.fetch(target, cache).glob("*.whl")):
        shutil.copyfile(wheel, to / "wheels" / wheel.name)
    own = wheels.product(target, to / "wheels")
    (to / "requirements.txt").write_text(wheels.requirements(target, own), "utf-8")
    (to / "sbom.cdx.json").write_text(sbom.sbom(to / "wheels", target), "utf-8")
    shutil.copyfile(ROOT / "LICENSE", to / "LICENSE")
    files = [file for file in to.rglob("*") if file.is_file()]
    (to / "SHA256SUMS").write_text(archive.checksums(files, to), "utf-8")


def build(gathered: Path, target: Target, to: Path) -> Path:
    """Pack what was gathered, with its checksum beside it, as the role's ``relay_bundle`` wants it."""
    made = to / f"m365-relay-{target.version}.tar.gz"
    with tempfile.TemporaryDirectory(dir=to) as work:
        archive.pack(gathered, Path(work, "packed"), target.epoch)
        Path(work, "packed").chmod(0o644)
        Path(work, "packed").replace(made)
    made.with_name(f"{made.name}.sha256").write_text(f"{archive.digest(made)}  {made.name}\n", "utf-8")
    return made
