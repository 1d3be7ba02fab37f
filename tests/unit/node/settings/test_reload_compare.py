"""A changed configuration says key by key what takes effect at once and what waits for a restart."""

import pytest

from node.settings.reader import cluster_hash
from node.settings.reload import RESTART, compare, why_restart
from node.settings.schema import describe
from tests.support.settings_files import CLIENTS, TENANT, loaded

BASE = TENANT + CLIENTS


def changed(tmp_path, before, after):
    return compare(loaded(tmp_path, before).settings, loaded(tmp_path, after).settings)


def test_nothing_changed(tmp_path):
    assert changed(tmp_path, BASE, BASE + "# a remark\n").changes == ()


def test_a_key_that_takes_effect_at_once(tmp_path):
    found = changed(tmp_path, BASE, BASE + "limits: {idle: 10m}\n")
    assert found.reloadable == ["limits.idle: 5m -> 10m"]
    assert found.needs_restart == []


def test_a_key_that_needs_a_restart_says_why(tmp_path):
    found = changed(tmp_path, BASE, BASE + "admin: {port: 8444}\n")
    assert found.needs_restart == ["admin.port: 8025 -> 8444 (the port is opened at start)"]


def test_a_new_client_shows_what_is_particular_about_it(tmp_path):
    more = BASE + "  hr: {networks: [10.2.0.0/16], senders: [hr@contoso.com]}\n"
    assert changed(tmp_path, BASE, more).reloadable == [
        "clients.hr.networks: added [10.2.0.0/16]",
        "clients.hr.senders: added [hr@contoso.com]",
    ]
    assert [line.split(" ")[1] for line in changed(tmp_path, more, BASE).reloadable] == ["removed", "removed"]


def test_a_new_listener_needs_a_restart_in_every_key(tmp_path):
    one = BASE + "listeners: {a: {port: 2525}}\n"
    two = BASE + "listeners: {a: {port: 2525}, b: {port: 2526, networks: [10.0.0.0/8]}}\n"
    found = changed(tmp_path, one, two)
    assert found.reloadable == []
    assert len(found.needs_restart) == 2
    networks = BASE + "listeners: {a: {port: 2525, networks: [10.0.0.0/8]}}\n"
    assert changed(tmp_path, one, networks).needs_restart == []


def test_hashes_are_only_called_changed(tmp_path):
    hashed = "$relay-fast$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
    user = TENANT + 'clients: {a: {user: a, senders: [a@contoso.com], passwords: [{hash: "%s"}]}}\n'
    (line,) = changed(tmp_path, user % hashed, user % hashed.replace("aGFza", "eGFza")).reloadable
    assert line == "clients.a.passwords[0].hash: the old one -> a new one"


@pytest.mark.parametrize("path", RESTART, ids=".".join)
def test_every_key_of_the_table_exists(path):
    assert describe(tuple("x" if part == "*" else part for part in path)) is not None
    assert why_restart((*path, "below")) == RESTART[path]


def test_cluster_hash_sees_meaning_only(tmp_path):
    base = cluster_hash(loaded(tmp_path, BASE).settings)
    for same in (
        "# remark\n",
        "spool: elsewhere\n",
        "hostname: relay-a.corp\n",
        "intake: {processes: 2}\n",
        "limits: {idle: 5m}\n",
    ):
        assert cluster_hash(loaded(tmp_path, BASE + same).settings) == base
    assert cluster_hash(loaded(tmp_path, BASE + "limits: {idle: 6m}\n").settings) != base
    listening = {
        address: cluster_hash(loaded(tmp_path, BASE + f"listeners: {{smtp: {{port: {port}{address}}}}}\n").settings)
        for address, port in (("", 25), (", address: 127.0.0.11", 25), (", address: 127.0.0.12", 26))
    }
    assert len(set(listening.values())) == 2  # which of its addresses a listener binds is each host's affair


def test_text_hash_sees_every_edit(tmp_path):
    assert loaded(tmp_path, BASE).text_hash != loaded(tmp_path, BASE + "# remark\n").text_hash
