"""Settings become endpoints: names as routing uses them, TLS always verified, secrets read late."""

import pytest

from node.delivery.assembly import endpoints_of, reporting_of
from node.delivery.endpoint import AuthKind, TlsMode
from node.errors import ConfigurationError
from node.policy.envelope import Direction
from node.policy.route import candidates
from node.settings.model import Settings
from node.settings.ways import directory_of
from tests.support.delivery_room import message


def settings(**smarthost):
    host = {"host": "127.0.0.1", "port": 2526, "tls": "none"} | smarthost
    return Settings.model_validate(
        {
            "tenants": {
                "contoso": {
                    "id": "contoso.onmicrosoft.com",
                    "domains": ["contoso.com"],
                    "service_accounts": {"Relay1@contoso.com": {"send_as": ["*@contoso.com"]}},
                    "smarthost": host,
                }
            },
            "routes": {"external": ["submission", "smarthost"], "internal": ["submission"]},
            "plans": {"standard": {"outside_tenant": True}},
        }
    )


def test_every_way_of_routing_has_its_endpoint():
    made = settings()
    endpoints = endpoints_of(made, "relay.contoso.com")
    ways = [item.way.name for item in candidates(directory_of(made), message(), Direction.EXTERNAL) if item.ok]
    assert len(ways) == 2
    assert set(ways) == set(endpoints)


def test_submission_is_starttls_xoauth2_with_one_session_spared():
    endpoint = next(one for one in endpoints_of(settings(), "r").values() if one.path == "submission")
    assert (endpoint.host, endpoint.port) == ("smtp.office365.com", 587)
    assert endpoint.tls is TlsMode.STARTTLS
    assert endpoint.context.check_hostname
    assert endpoint.auth is AuthKind.XOAUTH2
    assert (endpoint.connections, endpoint.slotted, endpoint.metered) == (2, True, True)


def test_a_password_is_read_at_login(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("one\n")
    made = settings(host="mx.test", tls="starttls", user="relay", password={"file": str(secret)})
    endpoint = next(one for one in endpoints_of(made, "r").values() if one.path == "smarthost")
    secret.write_text("two\n")
    assert endpoint.password() == "two"


def test_clear_text_leaves_this_machine_never():
    try:
        made = settings(host="mx.test")
    except ValueError:
        return
    with pytest.raises(ConfigurationError, match="loopback"):
        endpoints_of(made, "r")


def test_reports_come_from_an_account_unless_said_otherwise():
    assert reporting_of(settings(), "r").senders["contoso"].lower() == "relay1@contoso.com"
