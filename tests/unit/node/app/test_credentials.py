"""What the relay signs in with: when it ends, told in time, in the log, the gauges and the status."""

import datetime as dt
import logging
from types import SimpleNamespace

import pytest
import trustme

from node.app.credentials import BASIC_ENDS, Credentials, endings_of
from node.m365.errors import AlertReason
from node.m365.tokens import TokenState
from node.settings.model import Settings
from node.telemetry.numbers import Numbers
from node.telemetry.relay import RelayTelemetry
from node.tls.expiry import expiries
from tests.support.delivery_room import Spans

DAY_MS = 86_400_000


def settings(app: dict, account: dict | None = None) -> Settings:
    tenant = {
        "id": "72f988bf-86f1-41af-91ab-2d7cd011db47",
        "domains": ["contoso.com"],
        "app": {"client_id": "44556677-0000-4000-8000-000000000001", **app},
        "service_accounts": {"relay1@contoso.com": account or {}},
    }
    return Settings.model_validate({"hostname": "relay.contoso.com", "tenants": {"contoso": tenant}})


def state(**more) -> TokenState:
    values = {"tenant": "contoso", "expires_ms": 1, "reason": None, "text": "", "permanent": False, "retry_ms": 0}
    return TokenState(**values | more)


def watched(made: Settings, *tokens: TokenState) -> tuple[Credentials, Numbers]:
    numbers = Numbers()
    telemetry = RelayTelemetry(numbers, Spans())
    node = SimpleNamespace(settings=made, telemetry=telemetry, tokens=SimpleNamespace(states=lambda: list(tokens)))
    return Credentials(node), numbers


def day(days: int) -> str:
    return (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days)).isoformat()


def test_a_secret_lasts_to_the_end_of_its_last_day():
    (ending,) = endings_of(settings({"secret": {"env": "X"}, "secret_until": "2027-03-01"}), {})
    assert ending.credential == "tenants.contoso.app.secret"
    assert ending.ends_ms == dt.datetime(2027, 3, 2, tzinfo=dt.UTC).timestamp() * 1000


def test_certificates_of_the_application_tell_their_end_and_their_successors_too(tmp_path):
    ca, files = trustme.CA(), {}
    for key, days in (("certificate", 20), ("next_certificate", 300)):
        until = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        files[key] = tmp_path / f"{key}.pem"
        ca.issue_cert("relay", not_after=until).private_key_and_cert_chain_pem.write_to_path(files[key])
    made = settings({key: {"file": str(path)} for key, path in files.items()})
    found = {one.credential: one.ends_ms for one in endings_of(made, expiries(made))}
    assert set(found) == {"tenants.contoso.app", "tenants.contoso.app.next_certificate"}
    assert found["tenants.contoso.app.next_certificate"] - found["tenants.contoso.app"] == 280 * DAY_MS


def test_a_password_ends_with_basic_authentication():
    made = settings({"secret": {"env": "X"}}, {"password": {"env": "Y"}})
    (ending,) = endings_of(made, {})
    assert ending.what == "Basic authentication"
    assert dt.datetime.fromtimestamp(ending.ends_ms / 1000, dt.UTC).date() == BASIC_ENDS + dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("days", "level"), [(40, None), (20, logging.WARNING), (0, logging.ERROR), (-3, logging.ERROR)]
)
def test_the_log_and_the_gauge_tell_in_time(caplog, days, level):
    credentials, numbers = watched(settings({"secret": {"env": "X"}, "secret_until": day(days)}))
    for _ in range(3):
        credentials.look()
    assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
    place = (("credential", "tenants.contoso.app.secret"),)
    value = numbers.gauges["relay_credential_expiry_seconds", place]
    assert abs(value / 86_400 - days - 0.5) <= 0.6
    assert bool(credentials.troubles()) == (level is not None)


def test_the_status_tells_what_entra_refuses():
    made = settings({"secret": {"env": "X"}})
    refused = state(proof="next_secret", refused=("secret",))
    failing = state(tenant="contoso#graph", reason=AlertReason.SECRET_EXPIRED, text="the secret has expired")
    credentials, _ = watched(made, refused, failing)
    assert credentials.troubles() == [
        "Entra refuses secret of contoso, and takes next_secret",
        "no new token for contoso#graph: the secret has expired",
    ]
