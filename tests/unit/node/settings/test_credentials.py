"""One proof for each app, two of a kind while one replaces the other, and passwords as long as they last."""

import pytest

from tests.support.settings_files import faults, loaded

APP = """\
tenant:
  id: 8f2c1a0e-0000-4000-8000-000000000000
  domains: [contoso.com]
  app: {{client_id: 1b7d2c3e-0000-4000-8000-000000000000{proof}}}
  service_accounts: {accounts}
clients:
  apps: {{networks: [10.1.0.0/16], senders: ["*@contoso.com"], owner: it@contoso.com}}
"""
ACCOUNTS = "[relay1@contoso.com]"


def written(proof: str, accounts: str = ACCOUNTS) -> str:
    return APP.format(proof=proof, accounts=accounts)


@pytest.mark.parametrize(
    "proof",
    [
        ", secret: {file: secret}",
        ", secret: {file: a}, secret_until: 2030-01-31, next_secret: {file: b}, next_secret_until: 2031-01-31",
        ", federation: {file: secret}",
        ", managed_identity: user",
    ],
)
def test_one_proof_is_enough(tmp_path, proof):
    app = loaded(tmp_path, written(proof)).settings.tenants["contoso"].app
    assert len(app.proofs) == 1


@pytest.mark.parametrize(
    ("proof", "said"),
    [
        ("", "give one of secret, certificate, federation, managed_identity"),
        (", secret: {file: secret}, managed_identity: system", "give one of"),
        (", federation: {file: secret}, next_secret: {file: secret}", "there is no secret it could follow"),
        (", secret: {file: secret}, next_secret_until: 2030-01-31", "there is no next_secret it could belong to"),
        (", managed_identity: yes", "managed_identity"),
    ],
)
def test_what_is_missing_or_too_much_is_told(tmp_path, proof, said):
    assert any(said in fault for fault in faults(tmp_path, written(proof)))


def test_a_secret_that_ran_out_is_warned_of(tmp_path):
    found = loaded(tmp_path, written(", secret: {file: secret}, secret_until: 2020-01-31")).warnings
    assert any("secret_until: ran out on 2020-01-31" in line for line in found)


def test_a_password_has_an_end_and_suffices_for_its_account(tmp_path):
    text = written("", "{relay1@contoso.com: {password: {file: secret}}}").replace(
        "  app: {client_id: 1b7d2c3e-0000-4000-8000-000000000000}\n", ""
    )
    assert any("off at the end of December 2026" in line for line in loaded(tmp_path, text).warnings)
    both = text.replace("{file: secret}}}", "{file: secret}}, relay2@contoso.com: {}}")
    assert any("has no password, and the tenant has no app" in line for line in faults(tmp_path, both))
