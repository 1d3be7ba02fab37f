"""A copy of this machine that takes packages and is thrown away: an overlay over its root, in a mount namespace.

What is installed there is installed by the real dpkg or rpm with its scripts, and touches nothing of the machine. No
systemd runs in it (hosts that boot one: ``test_hosts.py``).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from packages.target import ROOT

_TOOLS = ("dpkg", "unshare", "nsenter", "chroot", "systemd-sysusers", "systemd-tmpfiles")
MISSING = [tool for tool in _TOOLS if shutil.which(tool) is None]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
if not Path(f"/usr/bin/python{PYTHON}").exists():
    MISSING.append(f"/usr/bin/python{PYTHON}")
USABLE = os.geteuid() == 0 and not MISSING
REASON = f"needs root and {', '.join(MISSING) or 'dpkg'}"
_SEEN = sorted({ROOT, Path(sys.prefix), Path(sys.base_prefix)} - {Path("/usr")})
"""What packages of the tests point to, which may be mounted of itself; a system's own Python is where they install."""
_ENTER = """
set -e
mount -t tmpfs tmpfs "$0"
cd "$0"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
mount -t proc proc root/proc
mount --rbind /dev root/dev
mount -t tmpfs tmpfs root/run
for seen in "$@"; do
    mkdir -p "root$seen"
    mount --bind "$seen" "root$seen"
    mount -o remount,bind,ro "root$seen"
done
echo ready
exec cat
"""


class Scratch:
    """One such copy below *place*; ``close`` throws it away, and so does the end of this process."""

    def __init__(self, place: Path) -> None:
        self.root = place / "root"
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, place, *_SEEN],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        said = self._holder.stdout.readline()
        if said != "ready\n":
            self._holder.kill()
            raise RuntimeError(f"no overlay: {said}{self._holder.stdout.read()}")

    def run(self, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it; output is one text, the exit code is for the caller to judge."""
        enter = ("nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "chroot", self.root)
        clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        return subprocess.run(
            [str(word) for word in (*enter, *words)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
            check=False, env=clean | environment,
        )  # fmt: skip

    def fine(self, *words: object, **environment: str) -> str:
        """Run a command that must end well; give its output."""
        done = self.run(*words, **environment)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file in it."""
        self.fine("sh", "-c", 'mkdir -p "$(dirname "$0")" && printf %s "$1" > "$0"', path, text)

    def put(self, file: Path) -> str:
        """Copy a file into it; give its path there."""
        to = f"/root/{file.name}"
        with file.open("rb") as content:
            words = ("nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "cp", "/dev/stdin", f"{self.root}{to}")
            subprocess.run(words, stdin=content, check=True, timeout=60)
        return to

    def exists(self, path: str) -> bool:
        """Whether something is there."""
        return self.run("test", "-e", path).returncode == 0

    def close(self) -> None:
        """Throw it away."""
        self._holder.stdin.close()
        self._holder.wait(30)
        self._holder.stdout.close()
