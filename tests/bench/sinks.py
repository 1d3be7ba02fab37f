"""Cheap receivers for the bench: an OTLP endpoint that keeps raw bytes, Postfix's smtp-sink, one that notes times."""

import os
import socket
import subprocess
import threading
import time
from concurrent import futures
from contextlib import suppress
from typing import Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.ports import free_ports

SETTLE_S = 0.5
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class OtlpSink(grpc.GenericRpcHandler):
    """Answers every export without decoding it, so that it costs the measured machine little."""

    def __init__(self):
        self.requests: list[bytes] = []
        self.server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[self])
        self.url = f"http://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    def service(self, details):
        keep = self.requests.append if details.method == EXPORT else (lambda _body: None)

        def answer(request, _context):
            keep(request)
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)

    def spans(self) -> int:
        """How many spans came; decoded only when asked, after measuring."""
        return sum(
            len(scope.spans)
            for body in self.requests
            for block in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in block.scope_spans
        )

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *exc):
        self.server.stop(0).wait(5)


class SmtpSink:
    """Postfix's smtp-sink, the fastest receiver there is."""

    def __enter__(self):
        self.port = free_ports(1)[0]
        self.process = subprocess.Popen(
            ["smtp-sink", "-u", "postfix", f"127.0.0.1:{self.port}", "1000"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
            else:
                return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(10)


def send(port: int, *, count: int, size: int, sessions: int, keep: bool, host: str = "127.0.0.1") -> float:
    """Seconds smtp-source took for ``count`` messages."""
    keeping = ["-d"] if keep else []
    started = time.perf_counter()
    subprocess.run(
        ["smtp-source", *keeping, "-s", str(sessions), "-l", str(size), "-m", str(count),
         "-f", "app@contoso.com", "-t", "someone@example.com", f"{host}:{port}"],
        check=True,
        capture_output=True,
        timeout=300,
    )  # fmt: skip
    return time.perf_counter() - started


def settle_disk() -> None:
    """Have everything written that anybody left to be written, so that a turn pays for its own mail only."""
    os.sync()
    time.sleep(SETTLE_S)


class FirstSink:
    """An upstream that takes whatever comes and notes when each message had come."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as lines:  # its client may be killed
            connection.sendall(b"220 sink\r\n")
            for line in lines:
                verb = line[:4].upper()
                if verb == b"DATA":
                    connection.sendall(b"354 go on\r\n")
                    while lines.readline() not in (b".\r\n", b""):
                        pass
                    self.times.append(time.time())
                connection.sendall(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc) -> None:
        self._listening.close()
