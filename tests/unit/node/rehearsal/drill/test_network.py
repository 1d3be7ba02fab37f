"""Which wires a cut severs, and whose connection it is: by hand, and by this process's own sockets."""

import errno
import os
import socket
import struct

import pytest

from node.rehearsal.drill.faults import Kind
from node.rehearsal.drill.network import CUTS, OUTSIDE, UPSTREAM, Cut, Service, Wire, severed
from node.rehearsal.drill.owners import Owners, answered, inode_of

HERE = ("127.0.0.1", 1)


def wire(host, service):
    return Wire(host=host, service=service, listen=HERE, target=HERE)


WIRES = {
    "own etcd": ("a", wire("a", Service.ETCD)),
    "etcd of b": ("a", wire("b", Service.ETCD)),
    "b to etcd of a": ("b", wire("a", Service.ETCD)),
    "peer b": ("a", wire("b", Service.PEERS)),
    "b to peer a": ("b", wire("a", Service.PEERS)),
    "b to peer c": ("b", wire("c", Service.PEERS)),
    "itself": ("a", wire("a", Service.PEERS)),
    "member to member": ("a", wire("b", Service.ETCD_PEERS)),
    "members of others": ("b", wire("c", Service.ETCD_PEERS)),
    "microsoft": ("a", wire(UPSTREAM, Service.UPSTREAM)),
    "microsoft from b": ("b", wire(UPSTREAM, Service.UPSTREAM)),
    "clients": (OUTSIDE, wire("a", Service.CLIENTS)),
    "clients of b": (OUTSIDE, wire("b", Service.CLIENTS)),
}
SEVERED = {
    Kind.CUT_ETCD: {"own etcd", "etcd of b"},
    Kind.CUT_PEERS: {"peer b", "b to peer a"},
    Kind.CUT_UPSTREAM: {"microsoft"},
    Kind.CUT_HOST: {
        "etcd of b", "b to etcd of a", "peer b", "b to peer a", "member to member", "microsoft", "clients",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", Kind)
def test_a_cut_severs_what_it_says_and_nothing_else(kind):
    cut = Cut(kind=kind, node="a")
    assert {name for name, (source, one) in WIRES.items() if severed(cut, source, one)} == SEVERED.get(kind, set())


def test_every_cut_is_known():
    assert set(SEVERED) == CUTS == {kind for kind in Kind if kind.startswith("cut-")}


def test_the_kernel_knows_both_ends_of_a_connection():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        ends = client.getsockname(), server.getsockname()
        assert inode_of(*ends) == os.fstat(client.fileno()).st_ino
        taken, _ = server.accept()
        with taken:
            assert inode_of(*reversed(ends)) == os.fstat(taken.fileno()).st_ino
    assert inode_of(("127.0.0.9", 9), ends[1]) == 0


def test_a_fault_of_the_kernels_is_an_error_and_no_such_socket_is_none():
    def fault(number):
        return struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -number)

    assert answered(fault(errno.ENOENT)) == 0
    with pytest.raises(PermissionError):
        answered(fault(errno.EPERM))


def test_a_connection_is_the_host_whose_process_holds_it(tmp_path):
    ours, stranger, gone = tmp_path / "ours.pid", tmp_path / "stranger.pid", tmp_path / "gone.pid"
    ours.write_text(f"{os.getpid()}\n")
    stranger.write_text(f"{os.getppid()}\n")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        ends = client.getsockname(), server.getsockname()
        assert Owners({str(gone): "c", str(stranger): "b", str(ours): "a"}).source(*ends) == "a"
        assert Owners({str(stranger): "b"}).source(*ends) == OUTSIDE
        assert Owners({str(ours): "a"}).source(("127.0.0.9", 9), ends[1]) == OUTSIDE
