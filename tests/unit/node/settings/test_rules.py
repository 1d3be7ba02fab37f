"""Settings become plain values, every fault named."""

import pytest

from node.errors import ConfigurationError
from node.policy.clients import BouncesTo, Copies, Limit, OverLimit, To
from node.policy.envelope import Priority
from node.policy.passwords import hash_fast
from node.settings.model import Settings
from node.settings.rules import client_rules, copies_in_force, intake_rules, users

TENANT = {"id": "8f2c1a0e-0000-4000-8000-000000000000", "domains": ["contoso.com", "contoso.de"]}
HASH = hash_fast(b"generated", bytes(16))
OTHER = hash_fast(b"another", bytes(16))


def settings(**parts):
    values = {
        "tenants": {"contoso": TENANT},
        "clients": {"apps": {"networks": ["10.1.0.0/16"], "senders": ["*@contoso.com"]}},
    }
    return Settings.model_validate({**values, **parts})


def faults(make, *args):
    with pytest.raises(ConfigurationError) as caught:
        make(*args)
    return caught.value.faults


def test_defaults():
    (rule,) = client_rules(settings())
    assert (rule.name, rule.plan, rule.to, rule.priority) == ("apps", "", To.ANY, Priority.NORMAL)
    assert rule.copies is Copies.ONE, "one node alone cannot keep two copies"
    assert rule.size_bytes == 150 << 20
    assert rule.expire_s == 2 * 86_400


def test_plans_are_resolved_and_clients_override():
    (rule,) = client_rules(
        settings(
            plans={
                "printer": {
                    "rate": "10/min",
                    "recipients": "500/24h",
                    "size": "25MiB",
                    "to": "internal",
                    "bounces": "owner",
                    "over_limit": "hold",
                    "expire": "10m",
                    "priority": "urgent",
                    "outside_tenant": True,
                }
            },
            clients={
                "floor": {
                    "networks": ["10.40.0.0/14"],
                    "senders": ["scan-*@contoso.com"],
                    "plan": "printer",
                    "to": "any",
                    "deny": ["ceo@*"],
                    "redirect": "Test@Contoso.com",
                    "owner": "it@contoso.com",
                    "outside_tenant": False,
                    "trace": True,
                }
            },
        )
    )
    assert (rule.rate, rule.recipients) == (Limit(10, 60.0), Limit(500, 86_400.0))
    assert (rule.size_bytes, rule.to, rule.bounces, rule.over_limit) == (
        25 << 20,
        To.ANY,
        BouncesTo.OWNER,
        OverLimit.HOLD,
    )
    assert (rule.expire_s, rule.priority, rule.outside_tenant, rule.trace) == (600.0, Priority.URGENT, False, True)
    assert (rule.redirect, rule.owner) == ("Test@contoso.com", "it@contoso.com")
    assert rule.deny.matches("ceo@x.y")


NODES = {name: {"site": "dc1", "address": f"10.0.0.{n}"} for n, name in enumerate("ab", 1)}


@pytest.mark.parametrize(
    ("cluster", "plan", "client", "copies", "place"),
    [
        (None, None, None, Copies.ONE, ()),
        (None, "preferred", None, Copies.PREFERRED, ("plans", "p", "copies")),
        ("preferred", None, None, Copies.PREFERRED, ("cluster", "copies")),
        ("preferred", "required", None, Copies.REQUIRED, ("plans", "p", "copies")),
        ("preferred", "required", "one", Copies.ONE, ("clients", "apps", "copies")),
        ("one", "preferred", "required", Copies.REQUIRED, ("clients", "apps", "copies")),
        ("required", None, "preferred", Copies.PREFERRED, ("clients", "apps", "copies")),
    ],
)
def test_a_clients_copies_go_before_its_plans_and_these_before_the_clusters(cluster, plan, client, copies, place):
    values = {
        "plans": {"p": {"copies": plan} if plan else {}},
        "clients": {
            "apps": {"networks": ["10.1.0.0/16"], "senders": ["*@contoso.com"], "plan": "p"}
            | ({"copies": client} if client else {})
        },
    }
    if cluster:
        values["cluster"] = {"name": "c", "nodes": NODES, "etcd": ["e"], "pki": "/pki", "copies": cluster}
    made = settings(**values)
    assert copies_in_force(made, "apps") == (copies, place)
    assert client_rules(made)[0].copies is copies
    of_plan = copies_in_force(made, plan="p")
    assert of_plan == copies_in_force(made, "nobody", "p")
    assert client or of_plan == (copies, place)


def test_intake_rules():
    rules = intake_rules(
        settings(
            rewrite=[{"sender": "*@*.corp.local", "to": "noreply@contoso.com", "reply_to": "drop"}],
            aliases={"root": "team@contoso.com"},
            default_domain="contoso.com",
            received="minimal",
        ),
        "Relay-A.corp",
    )
    assert rules.hostname == "relay-a.corp"
    assert rules.marker == "m365-relay relay-a.corp"
    assert not rules.received_full
    assert rules.clients.match("10.1.2.3").name == "apps"
    assert rules.clients.match("10.2.2.3") is None
    assert rules.rewriter.recipient("root") == "team@contoso.com"
    assert rules.rewriter.sender("x@a.corp.local")[0] == "noreply@contoso.com"
    assert rules.domains.owner("contoso.de") == "contoso"
    assert rules.domains.tenant_of("a@elsewhere.example") == "contoso"


def test_every_fault_at_once_with_its_place():
    apps = {"senders": ["*@contoso.com"], "networks": ["10.0.0.0/8"]}
    bad = settings(
        clients={"one": {**apps, "plan": "missing"}, "two": {**apps, "plan": "lost"}},
        aliases={"a": "b", "b": "a"},
        hostname="bad host",
    )
    found = faults(intake_rules, bad, "relay")
    assert [fault.partition(":")[0] for fault in found][:2] == ["clients.one.plan", "clients.two.plan"]
    assert any("circle" in fault for fault in found)
    assert any(fault.startswith("hostname") for fault in found)
    assert len(found) == 4


def test_equal_clients():
    apps = {"networks": ["10.0.0.0/8"], "senders": ["*@contoso.com"]}
    (fault,) = faults(intake_rules, settings(clients={"one": apps, "two": apps}), "relay")
    assert "'one' and 'two'" in fault


def test_users_of_several_clients_share_their_passwords():
    apps = {"user": "billing", "senders": ["*@contoso.com"], "passwords": [{"hash": HASH, "until": "2027-01-31"}]}
    here = {"user": "Billing", "senders": ["*@contoso.com"], "networks": ["10.0.0.0/8"], "passwords": [{"hash": OTHER}]}
    found = users(settings(clients={"billing": apps, "billing-here": here}))
    assert list(found) == ["billing"]
    assert [item.hash for item in found["billing"]] == [HASH, OTHER]
    assert str(found["billing"][0].until) == "2027-01-31"


def test_user_faults():
    text = "\n".join(
        faults(
            users,
            settings(
                clients={
                    "one": {"user": "ann", "senders": ["*@contoso.com"]},
                    "two": {"networks": ["10.0.0.0/8"], "senders": ["*@contoso.com"], "passwords": [{"hash": HASH}]},
                    "three": {"user": "bob", "senders": ["*@contoso.com"], "passwords": [{"hash": "plain-secret"}]},
                }
            ),
        )
    )
    for part in ("clients.one.user", "clients.two.passwords", "clients.three.passwords.0"):
        assert part in text
    assert "plain-secret" not in text


def test_a_domain_has_one_tenant():
    both = settings(tenants={"a": TENANT, "b": {**TENANT, "domains": ["Contoso.com"]}})
    (fault,) = faults(intake_rules, both, "relay")
    assert "'a' and 'b'" in fault


def test_an_examples_hash_lets_nobody_in_and_stops_no_start():
    example = {"user": "billing", "senders": ["*@contoso.com"], "passwords": [{"hash": "$argon2id$…"}]}
    assert users(settings(clients={"billing": example})) == {"billing": ()}
