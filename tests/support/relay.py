"""A real relay as a process: started from a configuration, asked over its socket, killed without notice."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import yaml

READY_BOUND_S = float(os.environ.get("READY_BOUND_S", "30"))  # a machine busy with other things needs longer


class RelayProcess:
    """``relayctl run`` on a configuration given as a dictionary; spool and socket below ``home``."""

    def __init__(self, home: Path, config: dict, *options: str):
        self.home, self.options = home, options
        home.mkdir(parents=True, exist_ok=True)
        self.config = {"spool": str(home / "spool"), "runtime": str(home / "run"), **config}
        self.config.setdefault("admin", {"port": 0})
        self.file = home / "relay.yaml"
        self.process: subprocess.Popen | None = None
        self.token_file: Path | None = None
        """Of the operator that ``ctl`` shows, if any."""
        self.entry = ["-m", "node", "run"]
        """What python runs."""
        self.log = home / "relay.log"

    @property
    def socket(self) -> Path:
        return self.home / "run" / "admin.sock"

    def start(self, wait: bool = True, environment: dict | None = None) -> "RelayProcess":
        self.file.write_text(yaml.safe_dump(self.config))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.entry, str(self.file), *self.options],
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, bound_s: float = READY_BOUND_S) -> None:
        end = time.monotonic() + bound_s
        while True:
            if self.process.poll() is not None:
                raise AssertionError(f"relay ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}")
            try:
                if self.status()["readiness"]["ready"]:
                    return
            except (AssertionError, OSError):
                pass
            if time.monotonic() > end:
                raise AssertionError(f"relay not ready within {bound_s} s:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9 of the whole process group: the core and its workers, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self, bound_s: float = 40) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(bound_s)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__()  # nobody will leave what was never entered
            raise

    def __exit__(self, *exc) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def ctl(self, *args: str, check: bool = True) -> subprocess.CompletedProcess:
        shown = {"RELAY_TOKEN_FILE": str(self.token_file)} if self.token_file is not None else {}
        done = subprocess.run(
            [sys.executable, "-m", "node", *args],
            env={**os.environ, "RELAY_SOCKET": str(self.socket), **shown},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stderr + done.stdout
        return done

    def _remote(self):
        from node.cli.remote import Remote

        return Remote(self.socket)

    def get(self, path: str, **query):
        from node.errors import RelayError

        try:
            return self._remote().get(path, **query)
        except RelayError as error:
            raise AssertionError(str(error)) from None

    def post(self, path: str, **body):
        return self._remote().post(path, body)

    def status(self) -> dict:
        return self.get("/v1/status")

    def metric(self, name: str, **labels: str) -> float:
        """Sum the numbers of that name and those labels in the exposition; 0 if there is none."""
        text = bytearray()
        self._remote().download("/metrics", text.extend)
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        lines = re.findall(rf"^{name}(?:\{{(.*?)\}})? (\S+)$", text.decode(), re.MULTILINE)
        return sum(float(value) for found, value in lines if wanted <= set(found.split(",")))

    def port(self, listener: str = "smtp") -> int:
        return int(self.status()["listeners"][listener].rpartition(":")[2])

    def waiting(self) -> int:
        by_state = self.status()["by_state"]
        return sum(by_state.get(state, 0) for state in ("queued", "deferred", "in_flight", "unknown"))

    def wait_empty(self, bound_s: float = 60) -> None:
        end = time.monotonic() + bound_s
        while self.waiting():
            if time.monotonic() > end:
                raise AssertionError(json.dumps(self.status(), indent=1))
            time.sleep(0.02)
