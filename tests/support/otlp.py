"""A real OTLP receiver, gRPC and HTTP, that keeps what it got; for tests and the bench."""

import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Received:
    """Spans by id, with their resource attributes; and metric names."""

    def __init__(self):
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.metrics: set[str] = set()
        self.histograms = {}
        self.lock = threading.Lock()

    def add_traces(self, request):
        with self.lock:
            for block in request.resource_spans:
                self.resources.append({a.key: a.value.string_value for a in block.resource.attributes})
                for scope in block.scope_spans:
                    self.spans.extend(scope.spans)

    def add_metrics(self, request):
        with self.lock:
            for block in request.resource_metrics:
                for scope in block.scope_metrics:
                    self.metrics.update(metric.name for metric in scope.metrics)
                    self.histograms.update({one.name: one for one in scope.metrics if one.HasField("histogram")})

    def by_name(self, name):
        return [span for span in self.spans if span.name == name]

    def trace(self, trace_id: bytes):
        return [span for span in self.spans if span.trace_id == trace_id]


def attributes(span) -> dict:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, received):
        self.received = received

    def Export(self, request, context):  # noqa: N802 - the service's name
        self.received.add_traces(request)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, received):
        self.received = received

    def Export(self, request, context):  # noqa: N802 - the service's name
        self.received.add_metrics(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


class GrpcReceiver:
    """``with GrpcReceiver() as r: r.url, r.received``."""

    def __enter__(self):
        self.received = Received()
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(self.received), self.server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(self.received), self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *exc):
        self.server.stop(0).wait(5)


class HttpReceiver:
    """The same over HTTP/protobuf; ``stall`` makes every answer wait."""

    def __init__(self, stall: threading.Event | None = None):
        self.stall = stall

    def __enter__(self):
        received = self.received = Received()
        stall = self.stall

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if stall is not None:
                    stall.wait(30)
                if self.path.endswith("/v1/traces"):
                    received.add_traces(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
                else:
                    received.add_metrics(metrics_service_pb2.ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *exc):
        if self.stall is not None:
            self.stall.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


def connected(spans) -> bool:
    """True when the spans form one graph through parents and links."""
    spans = list(spans)
    return bool(spans) and len(reached(spans, spans[0])) == len({span.span_id for span in spans})


def reached(spans, first) -> set[bytes]:
    """Ids of the spans that hang together with the first through parents and links."""
    known = {span.span_id: span for span in spans}
    neighbours = {span_id: set() for span_id in known}
    for span in spans:
        for other in [span.parent_span_id, *(link.span_id for link in span.links)]:
            if other in known:
                neighbours[span.span_id].add(other)
                neighbours[other].add(span.span_id)
    seen, todo = set(), [first.span_id]
    while todo:
        here = todo.pop()
        if here not in seen:
            seen.add(here)
            todo.extend(neighbours[here])
    return seen
