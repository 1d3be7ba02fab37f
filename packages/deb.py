"""The .deb of a staged root: control, conffiles, checksums, and the maintainer scripts beside this file."""

import hashlib
import shutil
from pathlib import Path
from typing import Final

from packages import tree, units
from packages.running import run
from packages.target import Target

SCRIPTS: Final = ("preinst", "postinst", "prerm", "postrm")
_HERE: Final = Path(__file__).parent / "debian"
_CONTROL: Final = """\
Package: m365-relay
Version: {version}
Architecture: {machine}
Maintainer: m365-relay contributors <m365-relay@localhost>
Installed-Size: {kib}
Depends: python{python}, libc6 (>= 2.34), systemd (>= 249), init-system-helpers, debconf (>= 0.5) | debconf-2.0,
 ca-certificates
Section: mail
Priority: optional
Description: SMTP relay cluster to Microsoft 365
 Applications, printers and servers speak plain SMTP to it; it hands their
 mail to Microsoft 365. Every message answered 250 is on disk first, limits
 are kept exactly, and several nodes share them and pass an address on.
 .
 Holds every library it needs; only Python itself is the system's.
"""


def build(root: Path, target: Target, to: Path, compression: str = "xz") -> Path:
    """Build ``m365-relay_VERSION_MACHINE.deb`` in *to*; *root* gets the directory DEBIAN while it is built."""
    control = root / "DEBIAN"
    control.mkdir()
    try:
        files = sorted(each for each in root.rglob("*") if each.is_file() and not each.is_symlink())
        kib = sum(file.stat().st_size for file in files) // 1024 + 1
        text = _CONTROL.format(
            version=target.package_version, machine=target.debian_machine, kib=kib, python=target.python
        )
        (control / "control").write_text(text)
        (control / "conffiles").write_text("".join(f"{name}\n" for name in units.CONFIGURATION))
        sums = (f"{_md5(file)}  {file.relative_to(root)}\n" for file in files if not _configuration(file, root))
        (control / "md5sums").write_text("".join(sums))
        shutil.copyfile(_HERE / "templates", control / "templates")
        for name in SCRIPTS:
            shutil.copyfile(_HERE / name, control / name)
        tree.settle(root, target.epoch)
        for name in SCRIPTS:
            (control / name).chmod(0o755)
        made = to / f"m365-relay_{target.package_version}_{target.debian_machine}.deb"
        how = ("--root-owner-group", "--threads-max=1", f"-Z{compression}")
        run("dpkg-deb", *how, "--build", root, made, environment=target.environment)
        return made
    finally:
        shutil.rmtree(control)


def _configuration(file: Path, root: Path) -> bool:
    return f"/{file.relative_to(root)}" in units.CONFIGURATION


def _md5(file: Path) -> str:
    """For ``dpkg --verify``; sums of this kind protect against accidents, not against people."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
