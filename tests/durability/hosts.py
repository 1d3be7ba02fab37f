"""Programs on hosts of a ``Star``: they enter their host's network and nothing else, so that mounts stay the machine's.

(``ip netns exec`` gives each a mount namespace, which keeps file systems mounted after they were taken away here.)
"""

import ctypes
import os
import signal
import subprocess
from pathlib import Path

from tests.failover.processes import PR_SET_PDEATHSIG, Child
from tests.failover.watcher import enter

ROOT = Path(__file__).parents[2]
_libc = ctypes.CDLL(None, use_errno=True)


class Program(Child):
    """``Child`` in a namespace entered by itself, at the measuring process's own priority."""

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(ROOT), **self._environment},
                start_new_session=True, preexec_fn=self._prepare,  # noqa: PLW1509 - one thread
            )  # fmt: skip

    def _prepare(self) -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        enter(Path("/run/netns", self.namespace))
