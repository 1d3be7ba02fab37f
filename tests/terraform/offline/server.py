"""Serves providers over sockets to which Terraform attaches, so that it starts no plugin of its own."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc

from tests.terraform.offline.provider import Provider

_SERVICE = "tfplugin5.Provider"
_UNBOUNDED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@contextmanager
def serving(schemas: Mapping[str, dict[str, Any]]) -> Iterator[dict[str, str]]:
    """Serve the providers by their source address; gives the environment in which Terraform finds them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tf")))
        attached = {}
        for number, (source, schema) in enumerate(schemas.items()):
            path = folder / str(number)
            server = _server(Provider(schema), path)
            stack.callback(lambda one=server: one.stop(0.5).wait(2))
            attached[source] = {
                "Protocol": "grpc", "ProtocolVersion": 5, "Pid": os.getpid(), "Test": True,
                "Addr": {"Network": "unix", "String": str(path)},
            }  # fmt: skip
        yield {"TF_REATTACH_PROVIDERS": json.dumps(attached)}


def _server(provider: Provider, path: Path) -> grpc.Server:
    server = grpc.server(ThreadPoolExecutor(4), options=_UNBOUNDED)
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            _answering(call),
            request_deserializer=request.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        for name, call, request in provider.calls()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    return server


def _answering(call: Any) -> Any:
    return lambda request, _: call(request)
