"""Members of etcd: names, IPv4, IPv6, with or without port; in clear only on this machine."""

import pytest

from coordinator.settings.endpoints import parse_endpoint

GOOD = {
    "etcd-1": ("etcd-1:2379", False),
    "etcd-1.corp:4001": ("etcd-1.corp:4001", False),
    "etcd_1.corp.": ("etcd_1.corp.:2379", False),
    "10.1.0.5": ("10.1.0.5:2379", False),
    "10.1.0.5:1": ("10.1.0.5:1", False),
    "fd00::5": ("[fd00::5]:2379", False),
    "[fd00::5]": ("[fd00::5]:2379", False),
    "[fd00::5]:65535": ("[fd00::5]:65535", False),
    "https://etcd-1.corp:2379": ("etcd-1.corp:2379", False),
    "https://[fd00::5]:2379/": ("[fd00::5]:2379", False),
    "http://127.0.0.1:2379": ("127.0.0.1:2379", True),
    "http://localhost": ("localhost:2379", True),
    "http://[::1]:2379": ("[::1]:2379", True),
}
BAD = [
    "", " ", "etcd 1", "etcd-1:", "etcd-1:0", "etcd-1:65536", "etcd-1:port", "etcd-1:٤", "-etcd", "etcd..corp",
    "10.1.0", "10.1.0.256", "10.1.0.5:2379:2379", "[fd00::5", "fd00::5]", "[10.1.0.5]:1", "[fd00::5]:", "[fd00::5]x",
    "[fd00::5]2379", "fd00::g", "etcd-1/path", "https://", "ftp://etcd-1", "https://me@etcd-1", "etcd-1,etcd-2",
    "https://https://etcd-1", "a" * 64, ".".join(["a" * 60] * 5), "etcd\n", None, 5, ["etcd-1"],
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), GOOD.items(), ids=GOOD.keys())
def test_forms_taken(text, expected):
    found = parse_endpoint(text)
    assert (found.target, found.plain) == expected


@pytest.mark.parametrize("text", BAD, ids=repr)
def test_forms_refused(text):
    with pytest.raises(ValueError, match=r"expected a member of etcd such as"):
        parse_endpoint(text)


@pytest.mark.parametrize("text", ["http://etcd-1.corp:2379", "http://10.1.0.5", "http://[fd00::5]:2379"])
def test_nothing_goes_over_a_network_in_clear(text):
    with pytest.raises(ValueError, match="on this machine only"):
        parse_endpoint(text)
