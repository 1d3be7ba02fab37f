"""keepalived on three hosts with an SMTP server each: what the relay's addresses are compared with.

VRRP version 3, multicast, pre-emption as it comes; without and with a script that looks for the SMTP server's 220 every
second (the shortest interval it takes). A kill ends keepalived's parent and its VRRP process at one moment.
"""

import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.failover.lan import VIP, Lan
from tests.failover.processes import Child, wait_for

PROGRAM = "/usr/sbin/keepalived"
PRIORITIES = (150, 100, 50)
START_S = 30.0

CONFIG = """global_defs {{
  router_id host{number}
  vrrp_version 3
  script_user root
  enable_script_security
}}
vrrp_script smtp {{
  script "{script}"
  interval 1
  timeout 1
  fall 1
  rise 1
}}
vrrp_instance smtp {{
  state BACKUP
  interface eth0
  virtual_router_id 51
  priority {priority}
  advert_int {advert}
  virtual_ipaddress {{
    {address}/32 dev eth0
  }}
  {track}
}}
"""
SCRIPT = """#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/25 || exit 1
read -r -t 0.8 -u 3 line && [[ $line == 220* ]]
"""


@dataclass
class Keepalived:
    """``Subject``: keepalived with adverts every ``advert_s``, watching the SMTP server or not."""

    home: Path
    lan: Lan
    advert_s: float = 1.0
    track: bool = False
    _servers: list[Child] = field(default_factory=list)
    _keepers: list[Child] = field(default_factory=list)

    def start(self) -> None:
        script = self.home / "smtp-there"
        script.write_text(SCRIPT)
        script.chmod(0o700)
        for number, host in enumerate(self.lan.hosts):
            server = [sys.executable, "-m", "aiosmtpd", "-n", "-c", "aiosmtpd.handlers.Sink", "-l", "0.0.0.0:25"]
            self._servers.append(Child(host, server, self.home / f"smtp{number}.log"))
            self._keepers.append(self._keeper(number, host))
        for child in self._servers:
            child.start()
        for server in self._servers:
            wait_for("the SMTP server to listen", lambda server=server: _listens(server), START_S)
        for number, keeper in enumerate(self._keepers):
            self._configure(number, PRIORITIES[number])
            keeper.start()

    def _keeper(self, number: int, host: str) -> Child:
        command = [PROGRAM, "--dont-fork", "--log-console", "--log-detail", "--vrrp"]
        command += ["--use-file", str(self._file(number))]
        command += ["--pid", str(self.home / f"keepalived{number}.pid")]
        command += ["--vrrp_pid", str(self.home / f"vrrp{number}.pid")]
        return Child(host, command, self.home / f"keepalived{number}.log")

    def _file(self, number: int) -> Path:
        return self.home / f"keepalived{number}.conf"

    def _configure(self, number: int, priority: int) -> None:
        track = "track_script {\n    smtp\n  }" if self.track else ""
        names = {"number": number, "priority": priority, "advert": self.advert_s, "address": VIP, "track": track}
        self._file(number).write_text(CONFIG.format(script=self.home / "smtp-there", **names))

    def steady(self, held_s: float, holders: list[int]) -> bool:
        """Say whether the highest priority holds the address, and has for three intervals."""
        return holders == [0] and held_s >= max(2.0, 3 * self.advert_s)

    def kill_service(self, host: int) -> None:
        self._servers[host].kill()

    def kill_keeper(self, host: int) -> None:
        self._keepers[host].kill()

    def start_keeper(self, host: int) -> None:
        # It refuses to start while a process of its former life can be signalled, and a zombie can: the first process
        # of this machine may be slow to reap what we killed.
        for name in (f"keepalived{host}.pid", f"vrrp{host}.pid"):
            (self.home / name).unlink(missing_ok=True)
        self._keepers[host].start()

    def freeze(self, host: int) -> None:
        self._keepers[host].freeze()
        self._servers[host].freeze()

    def thaw(self, host: int) -> None:
        self._servers[host].thaw()
        self._keepers[host].thaw()

    def move(self, host: int, other: int) -> None:
        """Stop keepalived where the address is: it says so to the others with priority 0."""
        self._keepers[host].process.terminate()

    def lower(self, host: int, other: int) -> None:
        """Lower the priority where the address is, and reload."""
        self._configure(host, 10)
        self._keepers[host].process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        for child in (*self._keepers, *self._servers):
            child.kill()

    def said(self) -> str:
        return "\n".join(child.said() for child in (*self._keepers, *self._servers))


def _listens(server: Child) -> bool:
    assert server.running, f"the SMTP server ended: {server.said()}"
    return ":0019 " in Path("/proc", str(server.pid), "net/tcp").read_text()
