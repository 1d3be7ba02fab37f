"""How a connection begins: bounds on their number, who may connect, the PROXY header of a balancer, the greeting."""

import logging
from abc import abstractmethod
from asyncio import BaseTransport
from typing import Final

from node.intake.conversation import Conversation
from node.intake.house import plain_ip, within
from node.intake.protocol import Link
from node.intake.proxy import MAX_V2_BYTES, ProxyError, parse_proxy
from node.intake.replies import Say

log = logging.getLogger(__name__)
PROXY_S: Final = 5.0


class Arriving(Link):
    """A connection until its session has begun."""

    @abstractmethod
    def _pump(self, data: bytes) -> None:
        """Answer what came."""

    @abstractmethod
    def _when_free(self) -> None:
        """A body file has caught up."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Take a connection: bound the number, expect PROXY where it is due, else greet."""
        self.transport = transport
        self._open.add(self)
        if self.house.hears:
            self.hear()
        self.ends_s = self.house.clock_s + self.house.limits.session
        peer = transport.get_extra_info("peername") or ("", 0)
        ip, port = plain_ip(str(peer[0])), int(peer[1]) if len(peer) > 1 else 0
        if len(self._open) > self.house.sessions_max:
            self._turn_away(Say.TOO_MANY_SESSIONS)
        elif self.gate.proxy_from and within(ip, self.gate.proxy_from):
            self._expect_proxy = True
            self.deadline_s = self.house.clock_s + PROXY_S
        else:
            self._begin(ip, port)

    def _begin(self, ip: str, port: int) -> None:
        house = self.house
        if self.gate.networks and not within(ip, self.gate.networks):
            self._turn_away(Say.CLOSED_TO_YOU)
            return
        count = house.by_address.get(ip, 0) + 1
        if count > house.sessions_per_address_max:
            self._turn_away(Say.TOO_MANY_FROM_ADDRESS)
            return
        house.by_address[ip] = count
        self._address = ip
        house.telemetry.count("relay_intake_sessions", listener=self.gate.name)
        self.talk = Conversation(self.gate, ip, port, self._when_free)
        if self.gate.implicit_tls:
            self._start_tls()
        else:
            self._greet()

    def _greet(self) -> None:
        self.deadline_s = self.house.clock_s + self.house.limits.idle
        self.transport.write(self.gate.banner)

    def _proxy(self, data: bytes) -> None:
        try:
            header = parse_proxy(data)
        except ProxyError as error:
            log.warning("listener %s: no PROXY header from a balancer: %s", self.gate.name, error)
            self.house.telemetry.count("relay_intake_refused", reason="bad_proxy")
            self._finish(now=True)
            return
        if header is None:
            if len(data) > MAX_V2_BYTES:
                self._finish(now=True)
            self._buffer = data
            return
        self._expect_proxy = False
        if not header.ip:  # the balancer asks whether we live; nothing can be relayed for it
            self._finish(now=True)
            return
        rest = data[header.consumed :]
        self._begin(plain_ip(header.ip), header.port)
        if self._shaking is not None:
            self._early = rest
        elif rest and not self._done:
            self._pump(rest)
