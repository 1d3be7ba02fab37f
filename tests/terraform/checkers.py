"""Programs the long tests judge with, each in a virtual environment of its own that the test makes."""

import subprocess
import venv
from pathlib import Path

PINS = {"checkov": "checkov==3.3.30", "ansible-inventory": "ansible-core==2.19.14"}
SECONDS = 600


def installed(program: str, folder: Path) -> tuple[Path | None, str]:
    """Install a program; gives its path, or none and why it cannot be had."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PINS[program]]
    try:
        done = subprocess.run(pip, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None, f"{PINS[program]} was not installed within {SECONDS} s"
    if done.returncode:
        return None, f"{PINS[program]}: {done.stderr.strip().splitlines()[-1:]}"
    return folder / "bin" / program, ""
