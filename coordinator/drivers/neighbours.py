"""One link's raw socket: says where an address is, asks who has it, hears who else claims it. Needs CAP_NET_RAW."""

import asyncio
import ctypes
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from coordinator.drivers.contract import DriverError
from coordinator.drivers.frames import ETH_ARP, ETH_IPV6, announcement, claim_filter, claim_of, question

SO_ATTACH_FILTER: Final = 26
"""asm-generic/socket.h; the standard library does not name it."""
QUESTIONS: Final = 3
PAUSE_S: Final = 0.05
BURST: Final = 5
AGAIN_S: Final = 5.0
"""A second burst so long after the first, for switches that were busy (keepalived does the same)."""
REPEAT_S: Final = 10.0
"""While held; switch tables age at about 300 s, and a healed split must not wait for that."""
FRAMES_PER_WAKE: Final = 64


class Neighbours:
    """The link as seen by one address."""

    def __init__(
        self, interface: str, address: IPv4Address | IPv6Address, on_claim: Callable[[bytes], None] | None = None
    ) -> None:
        """Open the socket. ``on_claim`` gets the hardware address of any other claimant. Raises DriverError."""
        kind = ETH_ARP if isinstance(address, IPv4Address) else ETH_IPV6
        self._socket = _raw_socket(interface, kind, claim_filter(address))
        self._mac: bytes = self._socket.getsockname()[4]
        self._address, self._on_claim = address, on_claim
        self._claimed = asyncio.Event()
        self._speaking: asyncio.Task[None] | None = None
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    async def anybody(self) -> bool:
        """Ask three times whether somebody has the address."""
        self._claimed.clear()
        for _ in range(QUESTIONS):
            self._send(question(self._address, self._mac))
            try:
                async with asyncio.timeout(PAUSE_S):
                    await self._claimed.wait()
            except TimeoutError:
                continue
            return True
        return False

    def speak(self) -> None:
        """Announce: a burst now, another soon, then a slow repeat until ``hush``."""
        self.hush()
        self._say()  # the first at once: the task waits for its turn, and clients for this
        self._speaking = asyncio.create_task(self._announce())

    def hush(self) -> None:
        """Stop announcing."""
        if self._speaking is not None:
            self._speaking.cancel()
            self._speaking = None

    def close(self) -> None:
        """Close the socket."""
        self.hush()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    async def _announce(self) -> None:
        for said, pause_s in ((1, AGAIN_S), (0, REPEAT_S)):
            for _ in range(said, BURST):
                await asyncio.sleep(PAUSE_S)
                self._say()
            await asyncio.sleep(pause_s)
        while True:
            self._say()
            await asyncio.sleep(REPEAT_S)

    def _say(self) -> None:
        self._send(announcement(self._address, self._mac))

    def _send(self, frame: bytes) -> None:
        try:
            self._socket.send(frame)
        except OSError:
            return  # the link is down: nobody would hear it, and the next repeat says it again

    def _read(self) -> None:
        for _ in range(FRAMES_PER_WAKE):
            try:
                claim = claim_of(self._socket.recv(2048))
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                return  # the link went down
            if claim is not None and claim.address == self._address and claim.mac != self._mac:
                self._claimed.set()
                if self._on_claim is not None:
                    self._on_claim(claim.mac)


def _raw_socket(interface: str, kind: int, program: bytes) -> socket.socket:
    opened = None
    kept = ctypes.create_string_buffer(program, len(program))
    attached = struct.pack("HL", len(program) // 8, ctypes.addressof(kept))
    try:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)  # hears nothing yet
        opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, attached)
        opened.bind((interface, kind))
    except OSError as error:
        if opened is not None:
            opened.close()
        raise DriverError(f"no raw socket on {interface}: {error.strerror}") from None
    return opened
