"""Network namespaces on a bridge, made and removed by the test; code runs in one by a thread that enters it."""

import asyncio
import ctypes
import os
import subprocess
import threading
import uuid
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000


def sh(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


class Lan:
    """Hosts h0, h1… each with eth0 on one bridge (in a namespace of its own)."""

    def __init__(self, hosts):
        tag = uuid.uuid4().hex[:6]
        self.bridge = f"br{tag}"
        self.hosts = [f"h{number}-{tag}" for number in range(hosts)]

    def __enter__(self):
        if os.geteuid() != 0:
            pytest.skip("network namespaces need root")
        if subprocess.run(["ip", "netns", "add", self.bridge], capture_output=True, check=False).returncode:
            pytest.skip("this machine lets nobody make network namespaces")
        sh("ip", "-n", self.bridge, "link", "add", "br0", "type", "bridge")
        sh("ip", "-n", self.bridge, "link", "set", "br0", "up")
        for number, host in enumerate(self.hosts):
            sh("ip", "netns", "add", host)
            sh("ip", "link", "add", "eth0", "netns", host, "type", "veth", "peer", "name", f"p{number}",
               "netns", self.bridge)  # fmt: skip
            sh("ip", "-n", self.bridge, "link", "set", f"p{number}", "master", "br0", "up")
            sh("ip", "-n", host, "link", "set", "lo", "up")
            sh("ip", "-n", host, "link", "set", "eth0", "up")
            sh("ip", "-n", host, "addr", "add", f"10.9.0.{number + 1}/24", "dev", "eth0")
            sh("ip", "-n", host, "addr", "add", f"fd09::{number + 1}/64", "dev", "eth0", "nodad")
        return self

    def __exit__(self, *exc):
        for name in (*self.hosts, self.bridge):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def addresses(self, host):
        return sh("ip", "-n", self.hosts[host], "-o", "addr", "show", "dev", "eth0")

    def run(self, host, main):
        """Run a coroutine function in a host's namespace to its end; what it returned."""
        box = {}

        def body():
            try:
                with Path("/run/netns", self.hosts[host]).open() as space:
                    assert ctypes.CDLL(None).setns(space.fileno(), CLONE_NEWNET) == 0
                box["value"] = asyncio.run(main())
            except BaseException as error:  # noqa: BLE001 - told to the test
                box["error"] = error

        thread = threading.Thread(target=body)
        thread.start()
        thread.join(60)
        if "error" in box:
            raise box["error"]
        return box.get("value")
