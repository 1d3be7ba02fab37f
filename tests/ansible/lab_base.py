"""The system test hosts boot: Debian with systemd and ssh, made once, and the packages they may install offline.

Made by debootstrap under a cache directory. Hosts have no way out: packages with all they depend on lie in a directory
every host sees as an apt repository, as in a closed network.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SUITE: Final = "bookworm"
INSIDE: Final = Path("/srv/packages")
"""Where a host sees the repository."""
PACKAGES: Final = ("etcd-server", "etcd-client", "python3-venv", "python3-cryptography", "nftables")
"""What the collection's roles install."""
_INCLUDED: Final = (
    "systemd-sysv", "dbus", "openssh-server", "python3", "python3-apt", "sudo", "iproute2", "procps", "ca-certificates",
)  # fmt: skip
_MASKED: Final = ("systemd-timesyncd", "apt-daily.timer", "apt-daily-upgrade.timer", "console-getty")
_TOOLS: Final = ("debootstrap", "systemd-nspawn", "ip", "ssh", "ssh-keygen", "dpkg-deb")
MISSING: Final = [tool for tool in _TOOLS if shutil.which(tool) is None]
USABLE: Final = os.geteuid() == 0 and not MISSING
REASON: Final = f"needs root and {', '.join(MISSING) or 'debootstrap, systemd-nspawn'}"
BUILD_S: Final = 900


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command, bounded, with its output in the error when it fails."""
    options = {"timeout": BUILD_S, "text": True, "capture_output": True} | options
    done = subprocess.run([str(word) for word in command], check=False, **options)
    if done.returncode:
        said = f"{done.stdout or ''}{done.stderr or ''}"[-4000:]
        raise RuntimeError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{said}")
    return done


def succeeds(*command: object) -> bool:
    """Tell whether a command that is to be quick succeeds."""
    return subprocess.run([str(word) for word in command], capture_output=True, timeout=30, check=False).returncode == 0


@dataclass(frozen=True)
class Base:
    """The base system below *home*."""

    home: Path

    @property
    def root(self) -> Path:
        """The read-only system every host lies on."""
        return self.home / "base"

    @property
    def packages(self) -> Path:
        """The offline repository."""
        return self.home / "packages"

    @property
    def key(self) -> Path:
        """The key hosts let in."""
        return self.home / "id_ed25519"

    def prepare(self, packages: Sequence[str] = PACKAGES) -> None:
        """Make what is missing; done before, it takes no time. One process at a time, the others wait."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._prepare(packages)

    def _prepare(self, packages: Sequence[str]) -> None:
        if not (self.root / ".ready").exists():
            self._install()
        done = self.home / f"have-{hashlib.sha256(' '.join(packages).encode()).hexdigest()[:12]}"
        if not done.exists():
            self._download(packages)
            done.touch()

    def _install(self) -> None:
        for mounted in _mounts_below(self.root):  # of a run that was interrupted; removing files would reach into them
            run("umount", mounted)
        if self.root.exists():
            run("rm", "-rf", "--one-file-system", self.root)
        run("debootstrap", "--variant=minbase", f"--include={','.join(_INCLUDED)}", SUITE, self.root)
        if not self.key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        home = self.root / "root/.ssh"
        home.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(f"{self.key}.pub", home / "authorized_keys")
        (self.root / "etc/machine-id").write_text("")
        sources = self.root / "etc/apt/sources.list"
        sources.rename(sources.with_name("online.list"))
        sources.write_text(f"deb [trusted=yes] file:{INSIDE}/apt ./\n")
        (self.root / "var/lib/apt/online/partial").mkdir(parents=True)
        (self.root / INSIDE.relative_to("/")).mkdir(parents=True)
        run("chroot", self.root, "systemctl", "mask", *_MASKED)
        (self.root / ".ready").touch()

    def _download(self, packages: Sequence[str]) -> None:
        archives, resolver = self.packages / "apt", self.root / "etc/resolv.conf"
        archives.mkdir(parents=True, exist_ok=True)
        shutil.copy("/etc/resolv.conf", resolver)
        online = ("-o", "Dir::Etc::sourcelist=online.list", "-o", "Dir::State::lists=online")
        apt = ("chroot", self.root, "apt-get", "-qq", *online)
        try:
            run(*apt, "update")
            run(*apt, "-y", "--download-only", "--no-install-recommends", "install", *packages)
        finally:
            resolver.unlink()
        for archive in (self.root / "var/cache/apt/archives").glob("*.deb"):
            shutil.move(archive, archives / archive.name)
        (archives / "Packages").write_text("\n".join(_described(each) for each in sorted(archives.glob("*.deb"))))
        inside = self.root / INSIDE.relative_to("/")
        run("mount", "--bind", self.packages, inside)
        try:
            run("chroot", self.root, "apt-get", "-qq", "update")
        finally:
            run("umount", inside)


def _mounts_below(directory: Path) -> list[str]:
    places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((place for place in places if Path(place).is_relative_to(directory)), reverse=True)


def _described(archive: Path) -> str:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    control = run("dpkg-deb", "-f", archive).stdout.rstrip()
    return f"{control}\nFilename: ./{archive.name}\nSize: {archive.stat().st_size}\nSHA256: {digest}\n"
