"""Which names an operator may park, and what budgets say about a route."""

import pytest

from node.app.routing import scope_named, shortages
from node.cluster.contract import BudgetUse
from tests.support.settings_files import TENANT, loaded

TEXT = (
    TENANT.replace("relay1@contoso.com", "Relay1@contoso.com, relay2@contoso.com")
    + "  smarthost: {host: mx.example.com}\n"
    + 'clients: {apps: {networks: [10.1.0.0/16], senders: ["*@contoso.com"]}}\n'
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return loaded(tmp_path_factory.mktemp("s"), TEXT).settings


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("contoso/relay1@contoso.com", "account/contoso/relay1@contoso.com"),
        ("relay1@contoso.com", "account/contoso/relay1@contoso.com"),
        ("Relay1@Contoso.com", "account/contoso/relay1@contoso.com"),
        ("contoso/smarthost", "account/contoso/smarthost"),
        ("account/contoso/relay2@contoso.com", "account/contoso/relay2@contoso.com"),
        ("pair/contoso/relay2@contoso.com|a@contoso.com", "pair/contoso/relay2@contoso.com|a@contoso.com"),
        ("client/apps", "client/apps"),
        ("tenant/contoso", "tenant/contoso"),
        ("tenant/contoso#external", "tenant/contoso#external"),
        ("path/contoso/submission", "path/contoso/submission"),
        ("path/contoso/submission#contoso.com", "path/contoso/submission#contoso.com"),
        ("path/contoso/graph", None),
        ("client/other", None),
        ("client/", None),
        ("tenant/fabrikam", None),
        ("account/relay3@contoso.com", None),
        ("relay3@contoso.com", None),
        ("everything", None),
        ("", None),
        ("/", None),
    ],
)
def test_names(settings, name, scope):
    assert scope_named(settings, name) == scope


def use(kind, retry_ms, scope="a"):
    return BudgetUse(scope=scope, kind=kind, limit=1, used=1, window_s=60.0, retry_ms=retry_ms)


def test_shortages_are_told_in_wall_time_the_longest_counts_and_slots_do_not():
    steady, wall = 1_000, 50_000
    found = shortages(
        [
            use("permits", 1_500),
            use("day", 9_000),
            use("permits", 0, "b"),
            use("slots", 9_999, "c"),
            use("day", 900, "d"),
            use("external", 2_000, "contoso"),
            use("client", 5_000, "apps"),
        ],
        steady,
        wall,
    )
    assert {scope: (one.until_ms, one.reason) for scope, one in found.items()} == {
        "a": (58_000, "day_budget"),
        "contoso": (51_000, "tenant_budget"),
    }
