"""A private Postfix instance on loopback: one that only accepts (everything is held), one that relays to a sink."""

import shutil
import subprocess
import time
from pathlib import Path

MASTER = """\
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""

POSTLOG = "postlog unix-dgram n - n - 1 postlogd\n"

MAIN = """\
compatibility_level = 3.6
queue_directory = {home}/spool
data_directory = {home}/data
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = bench.example
mydestination =
mynetworks = 127.0.0.0/8
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
default_process_limit = 100
message_size_limit = 200000000
mailbox_size_limit = 0
smtpd_recipient_restrictions = permit_mynetworks, reject
{extra}
"""


class Postfix:
    """``with Postfix(home, port, sink_port=None)``: held without a sink, relayed with one; ``log``: its postlogd."""

    def __init__(self, home: Path, port: int, sink_port: int | None = None, *, log: bool = False):
        self.home, self.port = home, port
        extra = (
            f"relayhost = [127.0.0.1]:{sink_port}\nsmtp_destination_concurrency_limit = 20"
            if sink_port
            else "smtpd_data_restrictions = check_client_access static:HOLD"
        )
        self.config = home / "etc"
        for part in ("etc", "spool", "data"):
            (home / part).mkdir(parents=True)
        home.chmod(0o755)
        shutil.chown(home / "data", "postfix", "postfix")
        if log:
            extra += f"\nmaillog_file = {home}/log/mail.log\nmaillog_file_prefixes = {home}"
            (home / "log").mkdir()
        (self.config / "main.cf").write_text(MAIN.format(home=home, extra=extra))
        (self.config / "master.cf").write_text(MASTER.format(port=port) + (POSTLOG if log else ""))

    def __enter__(self):
        self._run("start")
        return self

    def __exit__(self, *exc):
        self._run("stop")

    def _run(self, verb: str) -> None:
        subprocess.run(["postfix", "-c", str(self.config), verb], check=True, capture_output=True, timeout=60)

    def queued(self) -> int:
        return sum(
            1
            for part in ("incoming", "active", "deferred")
            for p in (self.home / "spool" / part).rglob("*")
            if p.is_file()
        )

    def wait_empty(self, bound_s: float = 300) -> None:
        end = time.monotonic() + bound_s
        while self.queued():
            if time.monotonic() > end:
                raise TimeoutError(f"postfix still holds {self.queued()} messages")
            time.sleep(0.02)
