"""Sign-in as the configuration writes it: what is wrong with it, and where the provider sends browsers back to."""

import pytest

from node.admin.access import Role
from node.app.administration import oidc_of
from tests.support.settings_files import CLIENTS, TENANT, faults, loaded

ROWS = {
    "nobody": ("{issuer: 'https://login.corp'}", "admin.oidc.roles: expected groups or roles"),
    "in clear": ("{issuer: 'http://login.corp', roles: {a: viewer}}", "admin.oidc.issuer: expected https://"),
    "no role": ("{issuer: 'https://login.corp', roles: {a: root}}", "admin.oidc.roles.a"),
    "too long": ("{issuer: 'https://login.corp', roles: {a: viewer}, lasts: 13h}", "lasts: expected 1m to 12h"),
    "no sign-in": ("{issuer: 'https://login.corp', roles: {a: viewer}, scopes: [profile]}", "expected openid"),
    "back elsewhere": (
        "{issuer: 'https://login.corp', roles: {a: viewer}, redirect: 'https://relay.corp/'}",
        "admin.oidc.redirect: expected an address that ends with /v1/oidc/callback",
    ),
    "back in clear": (
        "{issuer: 'https://login.corp', roles: {a: viewer}, redirect: 'http://relay.corp/v1/oidc/callback'}",
        "admin.oidc.redirect: expected https://",
    ),
    "unsigned": ("{issuer: 'https://login.corp', roles: {a: viewer}, algorithms: [none]}", "algorithms"),
    "a shared key": ("{issuer: 'https://login.corp', roles: {a: viewer}, algorithms: [HS256]}", "algorithms"),
}


@pytest.mark.parametrize(("text", "words"), ROWS.values(), ids=ROWS.keys())
def test_fault(tmp_path, text, words):
    found = faults(tmp_path, f"{TENANT}{CLIENTS}admin: {{oidc: {text}}}\n")
    assert any(words in one for one in found), found


@pytest.mark.parametrize(
    ("more", "redirect"),
    [
        ("", "http://localhost:8025/v1/oidc/callback"),
        ("port: 8443, address: 10.0.0.1, ", "https://relay-a.corp:8443/v1/oidc/callback"),
        ("port: 443, address: 10.0.0.1, ", "https://relay-a.corp/v1/oidc/callback"),
    ],
)
def test_the_address_browsers_come_back_to(tmp_path, more, redirect):
    tls = "tls: {certificate: cert.pem, key: {file: key.pem}}\n"
    text = f"{TENANT}{CLIENTS}{tls}admin: {{{more}oidc: {{issuer: 'https://login.corp', roles: {{ops: operator}}}}}}\n"
    made = oidc_of(loaded(tmp_path, text).settings, "relay-a.corp")
    assert made.rules.redirect == redirect
    assert made.rules.roles == {"ops": Role.OPERATOR}
    assert (made.rules.client_id, made.rules.algorithms) == ("m365-relay", ("RS256",))


def test_without_the_part_there_is_none(tmp_path):
    assert oidc_of(loaded(tmp_path, TENANT + CLIENTS).settings, "relay-a.corp") is None
