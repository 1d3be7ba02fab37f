"""The environment as it lies on a host: the lock's wheels installed for the target's own Python, compiled, dated."""

import configparser
import os
import shutil
import sys
from pathlib import Path
from typing import Final

from packages.running import run
from packages.target import BuildError, Target

HOME: Final = "/usr/lib/m365-relay"
"""Where packages install; the role's installations are elsewhere (/opt/m365-relay) and do not meet these."""
ENVIRONMENT: Final = f"{HOME}/current"


def install(gathered: Path, target: Target, root: Path) -> None:
    """Install what was gathered for a bundle below *root*. Raises BuildError for a Python that is not the target's."""
    if target.python != f"{sys.version_info.major}.{sys.version_info.minor}":
        raise BuildError(f"only Python {target.python} can compile for Python {target.python}: build with it")
    environment = root / ENVIRONMENT.lstrip("/")
    site = environment / f"lib/python{target.python}/site-packages"
    site.mkdir(parents=True)
    sources = ("--no-index", f"--find-links={gathered / 'wheels'}", "--only-binary=:all:", "--require-hashes")
    platforms = [f"--platform={name}" for name in target.platforms]
    run(
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *sources, *platforms,
        "--no-deps", "--no-compile", f"--target={site}", f"--requirement={gathered / 'requirements.txt'}",
        environment=target.environment,
    )  # fmt: skip
    shutil.rmtree(site / "bin", ignore_errors=True)  # of other distributions, and for this machine's Python
    begin(environment, target, _commands(site))
    prefix = ("-s", root, "-p", "/")
    modes = ("--invalidation-mode", "unchecked-hash")  # the package manager vouches for them, no file's date does
    run(sys.executable, "-m", "compileall", "-q", "-q", *prefix, *modes, site, environment=target.environment)


def begin(environment: Path, target: Target, commands: dict[str, str]) -> None:
    """Write what makes a directory an environment of the host's Python; *commands*: ``module:function`` by name."""
    interpreter = f"/usr/bin/python{target.python}"
    programs = environment / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(interpreter)
    (programs / f"python{target.python}").symlink_to("python")
    (environment / "lib64").symlink_to("lib")  # where RHEL's Python looks
    facts = {"home": "/usr/bin", "include-system-site-packages": "false"}
    facts |= {"version": target.python, "executable": interpreter}
    (environment / "pyvenv.cfg").write_text("".join(f"{name} = {fact}\n" for name, fact in facts.items()))
    for name, entry in sorted(commands.items()):
        module, _, function = entry.partition(":")
        text = (
            f"#!{ENVIRONMENT}/bin/python -I\nimport sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n"
        )
        (programs / name).write_text(text)


def _commands(site: Path) -> dict[str, str]:
    """Read the product's commands from its distribution."""
    found = configparser.ConfigParser()
    found.optionxform = str  # type: ignore[assignment,method-assign] # names keep their case
    found.read(next(site.glob("m365_relay-*.dist-info")) / "entry_points.txt", "utf-8")
    return dict(found["console_scripts"])


def settle(root: Path, epoch: int) -> None:
    """Give every file and directory below *root* the modes and date that do not depend on who builds."""
    for entry in sorted(root.rglob("*"), reverse=True):
        if not entry.is_symlink():
            program = entry.is_dir() or entry.parent.name == "bin"
            entry.chmod(0o755 if program else 0o644)
        os.utime(entry, (epoch, epoch), follow_symlinks=False)
    root.chmod(0o755)
    os.utime(root, (epoch, epoch))
