"""Hashes in history: one key for a cluster, and what has no effect is said."""

import pytest

from node.app.hiding import hider_of
from node.errors import ConfigurationError
from tests.support.settings_files import CLIENTS, TENANT, faults, loaded


def warned(tmp_path, text: str) -> str:
    return "\n".join(loaded(tmp_path, text).warnings)


def test_a_node_alone_needs_no_key_and_makes_one(tmp_path):
    settings = loaded(tmp_path, TENANT + CLIENTS + "history: {addresses: hash}\n").settings
    first, again = (hider_of(settings, tmp_path) for _ in range(2))
    assert first.one("ann@x.example") == again.one("ann@x.example") != "ann@x.example"
    assert hider_of(loaded(tmp_path, TENANT + CLIENTS).settings, tmp_path) is None


def test_a_key_of_two_nodes_gives_the_same_hashes_and_a_short_one_is_refused(tmp_path):
    key = tmp_path / "history-key"
    key.write_text("0123456789abcdef")
    key.chmod(0o600)
    text = TENANT + CLIENTS + f"history: {{addresses: hash, key: {{file: {key}}}}}\n"
    settings = loaded(tmp_path, text).settings
    (tmp_path / "other").mkdir()
    one, two = hider_of(settings, tmp_path), hider_of(settings, tmp_path / "other")
    assert one.one("ann@x.example") == two.one("ann@x.example")
    key.write_text("short")
    with pytest.raises(ConfigurationError, match="at least 16"):
        hider_of(settings, tmp_path)


def test_in_a_cluster_a_key_is_a_must(tmp_path):
    cluster = (
        "cluster:\n  name: corp\n  nodes: {relay-a: {site: dc1, address: 10.0.0.1}}\n"
        "  etcd: ['http://127.0.0.1:2379']\n  pki: /etc/m365-relay/pki\n"
    )
    found = faults(tmp_path, TENANT + CLIENTS + cluster + "history: {addresses: hash}\n")
    assert [one for one in found if "history.key" in one]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("history: {hash_after: 1d}", "no effect with history.addresses: full"),
        ("history: {addresses: hash, hash_after: 1d}\nbounces: {return_path: r@contoso.com}", "will match nothing"),
    ],
)
def test_what_is_doubtful_is_said(tmp_path, line, words):
    assert words in warned(tmp_path, TENANT + CLIENTS + line + "\n")
