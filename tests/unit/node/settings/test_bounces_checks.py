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
