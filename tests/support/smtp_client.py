"""A raw SMTP client for tests: sends exactly the octets given and reads whole replies, with a bound on every wait."""

import socket
import ssl
from typing import Self

WAIT_S = 10.0


class RawSmtp:
    """One connection. ``read`` gives ``(code, text)`` of one reply; an empty code means the server closed."""

    def __init__(self, port: int, host: str = "127.0.0.1", wait_s: float = WAIT_S, source: str | None = None):
        self.wait_s = wait_s
        self.socket = socket.create_connection(
            (host, port), timeout=wait_s, source_address=(source, 0) if source else None
        )
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def send(self, octets: bytes | str) -> None:
        self.socket.sendall(octets.encode() if isinstance(octets, str) else octets)

    def read(self) -> tuple[str, str]:
        lines = []
        while True:
            try:
                line = self.file.readline().decode("ascii")
            except ConnectionResetError:
                return "", "reset"
            if not line:
                return "", "\n".join(lines)
            assert line.endswith("\r\n"), line
            lines.append(line[4:].rstrip("\r\n"))
            if line[3:4] != "-":
                return line[:3], "\n".join(lines)

    def say(self, line: str | bytes) -> tuple[str, str]:
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.read()

    def expect(self, code: str, line: str | bytes | None = None) -> str:
        got, text = self.read() if line is None else self.say(line)
        assert got == code, f"expected {code} to {line!r}, got {got} {text}"
        return text

    def hello(self, name: str = "client.test") -> str:
        self.expect("220")
        return self.expect("250", f"EHLO {name}")

    def envelope(self, sender: str = "app@contoso.com", recipients: tuple[str, ...] = ("someone@example.com",)) -> None:
        self.expect("250", f"MAIL FROM:<{sender}>")
        for recipient in recipients:
            self.expect("250", f"RCPT TO:<{recipient}>")
        self.expect("354", "DATA")

    def starttls(self, context: ssl.SSLContext | None = None, name: str = "relay.test") -> None:
        self.expect("220", "STARTTLS")
        self.wrap(context, name)

    def wrap(self, context: ssl.SSLContext | None = None, name: str = "relay.test") -> None:
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self.file.close()
        self.socket = context.wrap_socket(self.socket, server_hostname=name)
        self.file = self.socket.makefile("rb")

    def closed(self) -> bool:
        """Whether the server closes now, having said nothing more."""
        try:
            return self.file.read(1) == b""
        except (ConnectionResetError, ssl.SSLError):
            return True
