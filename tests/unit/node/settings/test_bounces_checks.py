"""Faults and doubts about what comes back: the return path, its keys, the mailboxes that are read."""

import pytest

from tests.support.settings_files import CLIENTS, TENANT, faults, loaded

SMARTHOST = """\
tenant:
  id: t.example
  domains: [contoso.com]
  smarthost: {host: mail.example, tls: starttls}
routes: {internal: [smarthost], external: [smarthost]}
"""
PATH = "bounces: {return_path: relay-bounces@contoso.com, accept_from: [192.0.2.0/24]}\n"


def warned(tmp_path, text: str) -> list[str]:
    return [warning.replace(f"{tmp_path}/", "") for warning in loaded(tmp_path, text).warnings]


def about(found: list[str], word: str) -> list[str]:
    return [one for one in found if word in one]


def test_a_return_path_that_is_used_and_comes_back(tmp_path):
    assert about(warned(tmp_path, SMARTHOST + CLIENTS + PATH), "bounces") == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("bounces: {return_path: relay+bounces@contoso.com}", "without a plus sign"),
        (f"bounces: {{return_path: {'b' * 30}@contoso.com}}", "at most 23 characters"),
        ("bounces: {return_path: relay-bounces@fabrikam.com}", "no tenant owns"),
    ],
)
def test_a_return_path_that_cannot_work(tmp_path, line, words):
    assert about(faults(tmp_path, SMARTHOST + CLIENTS + line + "\n"), words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SMARTHOST + CLIENTS + "bounces: {return_path: relay-bounces@contoso.com}\n", "reach nobody"),
        (TENANT + CLIENTS + PATH, "no route names"),
        (SMARTHOST + CLIENTS + "bounces: {accept_from: [192.0.2.0/24]}\n", "no effect without"),
    ],
)
def test_a_return_path_that_does_nothing(tmp_path, text, words):
    assert about(warned(tmp_path, text), words)


def test_who_hands_in_reports_is_no_client(tmp_path):
    """Found when a test named one network for both: the check passed, and the start spoke of a client (returned)."""
    clients = """\
clients:
  apps: {networks: [10.1.0.0/16, 192.0.2.0/24], senders: ["*@contoso.com"], owner: it@contoso.com}
"""
    (found,) = about(faults(tmp_path, SMARTHOST + clients + PATH), "192.0.2.0/24")
    assert "relay.yaml:8:65: " in found
    assert "bounces.accept_from[0]: client apps (" in found
    assert "is known by 192.0.2.0/24 alone" in found
    for apart in ("192.0.2.0/25", "192.0.0.0/16"):  # the longer prefix says who it is
        loaded(tmp_path, SMARTHOST + clients.replace("192.0.2.0/24", apart) + PATH)
    certified = clients.replace("owner:", "certificate: apps.contoso.com, owner:")
    loaded(tmp_path, SMARTHOST + certified + PATH)


def test_history_outlives_what_is_reported_later(tmp_path):
    for keep, said in (("23h", True), ("24h", False)):
        found = warned(tmp_path, SMARTHOST + CLIENTS + PATH + f"history: {{keep: {keep}}}\n")
        assert bool(about(found, "find no message any more")) is said
    assert not about(warned(tmp_path, TENANT + CLIENTS + "history: {keep: 1h}\n"), "history"), "nothing is read"


def test_a_key_is_long_enough(tmp_path):
    for length, found in ((31, True), (32, False)):
        key = tmp_path / "key"
        key.touch(mode=0o600)
        key.write_text("k" * length)
        line = (
            f"bounces: {{return_path: relay-bounces@contoso.com, accept_from: [192.0.2.0/24], key: {{file: {key}}}}}\n"
        )
        text = SMARTHOST + CLIENTS + line
        if found:
            assert about(faults(tmp_path, text, here=True), "at least 32 characters")
        else:
            assert not about([str(one) for one in loaded(tmp_path, text, here=True).warnings], "characters")


def test_mailboxes_are_read_by_an_app(tmp_path):
    plain = SMARTHOST.replace("  smarthost", "  ndrs: {mailboxes: [a@contoso.com]}\n  smarthost")
    assert about(faults(tmp_path, plain + CLIENTS), "read by an application")
    app = "  app: {client_id: 1b7d2c3e-0000-4000-8000-000000000000, secret: {file: secret}}\n"
    nothing = SMARTHOST.replace("  smarthost", f"{app}  ndrs: {{accounts: false}}\n  smarthost")
    assert about(warned(tmp_path, nothing + CLIENTS), "names no mailbox")


DIRECT = """\
tenant:
  id: t.example
  domains: [contoso.com]
  app: {client_id: 1b7d2c3e-0000-4000-8000-000000000000, secret: {file: secret}}
  service_accounts: [relay1@contoso.com]
%s
routes: {internal: [direct-send], external: [submission]}
"""
APPS = "clients: {apps: {networks: [10.0.0.0/8], senders: [%s]}}\n"
NOBODY = "routes.internal[0]: reports on mail of tenant contoso by direct-send go to its sender, and nobody reads"


@pytest.mark.parametrize(
    ("ndrs", "senders", "unread"),
    [
        ("", "app@contoso.com", "app@contoso.com"),
        ("  ndrs: {mailboxes: [app@contoso.com]}", "app@contoso.com, scan@contoso.com", "scan@contoso.com"),
        ("  ndrs: {mailboxes: [app@contoso.com]}", '"*@contoso.com"', "*@contoso.com"),
        ("  ndrs: {accounts: false, mailboxes: [a@contoso.com]}", "relay1@contoso.com", "relay1@contoso.com"),
        ("", "a@contoso.com, b@contoso.com, c@contoso.com, d@contoso.com", "c@contoso.com and 1 more"),
    ],
)
def test_reports_on_direct_send_that_nobody_reads_are_pointed_out(tmp_path, ndrs, senders, unread):
    (said,) = about(warned(tmp_path, DIRECT % ndrs + APPS % senders), "direct-send")
    assert NOBODY in said
    assert f"{unread}: set bounces.return_path, or read the mailboxes (ndrs)" in said


@pytest.mark.parametrize(
    ("ndrs", "senders", "more"),
    [
        ("  ndrs: {mailboxes: [APP@contoso.com]}", "app@contoso.com, relay1@contoso.com", ""),
        ("", '"*@contoso.com"', PATH),
    ],
    ids=["every sender is read", "a return path"],
)
def test_reports_on_direct_send_that_somebody_reads_are_not(tmp_path, ndrs, senders, more):
    assert about(warned(tmp_path, DIRECT % ndrs + APPS % senders + more), "nobody") == []


def test_each_tenants_return_address_is_read(tmp_path):
    """The second tenant owns another domain, so its mail comes back to an address of its own."""
    text = """\
tenants:
  one: {id: one.example, domains: [contoso.com], smarthost: {host: mail.example}, app: APP, ndrs: {mailboxes: [A]}}
  two: {id: two.example, domains: [fabrikam.com], smarthost: {host: mail.example}, app: APP, ndrs: {mailboxes: [B]}}
routes: {internal: [smarthost], external: [smarthost]}
bounces: {return_path: back@contoso.com}
"""
    app = "{client_id: 1b7d2c3e-0000-4000-8000-000000000000, secret: {file: secret}}"
    for others, heard in (("back@fabrikam.com", True), ("someone@fabrikam.com", False)):
        filled = text.replace("APP", app).replace("[A]", "[back@contoso.com]").replace("[B]", f"[{others}]")
        said = about(warned(tmp_path, filled + CLIENTS), "reach nobody")
        assert bool(said) is not heard
        assert heard or "reports to back@fabrikam.com reach nobody" in said[0]
