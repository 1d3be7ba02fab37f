"""Runs the programs that build, bounded, with what they said in the error."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from packages.target import BuildError

LONGEST_S = 1800


def run(
    *words: str | Path,
    environment: Mapping[str, str] | None = None,
    at: Path | None = None,
    timeout_s: float = LONGEST_S,
) -> str:
    """Run a program and give what it printed. Raises BuildError when it fails, is missing or takes too long."""
    command = [str(word) for word in words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=timeout_s, env=environment, cwd=at
        )
    except FileNotFoundError:
        raise BuildError(f"{command[0]}: not installed here") from None
    except subprocess.TimeoutExpired:
        raise BuildError(f"{_shown(command)}: took longer than {timeout_s:.0f} s") from None
    if done.returncode:
        raise BuildError(f"{_shown(command)}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def _shown(command: Sequence[str]) -> str:
    return " ".join(command)[:300]
