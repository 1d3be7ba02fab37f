"""Routing: tenant, order of paths, accounts allowed for a From, plans, sizes, and the tenant's boundary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from node.policy.envelope import Direction, NewMessage
from node.policy.patterns import PatternSet
from node.policy.route import (
    Account,
    Acs,
    Cause,
    Connector,
    Directory,
    DirectSend,
    SmartHost,
    TenantWays,
    candidates,
    default_sender,
)
from node.settings.mail import Client, Plan, Routes, ServiceAccount, Tenant
from node.settings.mail import SmartHost as SmartHostSettings
from node.settings.model import Settings
from node.settings.ways import directory_of

MIB = 1 << 20
EXTERNAL, INTERNAL = Direction.EXTERNAL, Direction.INTERNAL


def account(mailbox, *send_as, only=(), size=35 * MIB):
    return Account(
        scope=f"contoso/{mailbox}",
        mailbox=mailbox,
        send_as=PatternSet(send_as),
        only=frozenset(only),
        size_bytes=size,
    )


def directory(**change):
    fields = {
        "tenants": {
            "contoso": TenantWays(
                name="contoso",
                domains=frozenset({"contoso.com", "contoso.de"}),
                accounts=(
                    account("relay1@contoso.com", "*@contoso.com"),
                    account("relay2@contoso.com", "*@contoso.com", "scan-*@contoso.de", size=150 * MIB),
                    account("otp@contoso.com", "*@contoso.com", only=("otp",)),
                ),
                smarthost=SmartHost(scope="contoso/smarthost", size_bytes=50 * MIB, recipients_per_message=10),
            )
        },
        "routes": {INTERNAL: ("graph", "submission"), EXTERNAL: ("connector", "submission", "smarthost")},
        "outside_plans": frozenset({"anywhere"}),
        "outside_clients": {"strict": False, "free": True},
    }
    return Directory(**{**fields, **change})


def message(sender="app@contoso.com", **change):
    fields = {
        "id": "1", "client": "apps", "plan": "", "mail_from": sender, "header_from": sender, "tenant": "contoso",
        "recipients": (), "size_bytes": 1000, "received_ms": 0, "expires_ms": 1, "message_id": "<a@b>",
    }  # fmt: skip
    return NewMessage(**{**fields, **change})


def usable(found):
    return [item.way.name for item in found if item.ok]


def causes(found):
    return {item.way.name: item.cause for item in found if not item.ok}


def test_paths_in_the_order_of_the_route_and_what_is_not_there_is_named():
    found = candidates(directory(), message(), EXTERNAL)
    assert [item.way.path for item in found] == ["connector", *["submission"] * 3, "smarthost"]
    assert [item.way.rank for item in found] == [0, 1, 1, 1, 2]
    assert found[0].why_not == "the tenant has no connector"
    unknown = candidates(directory(routes={EXTERNAL: ("pigeon",)}), message(), EXTERNAL)
    assert [(item.why_not, item.cause) for item in unknown] == [("path kind not available in this version", Cause.KIND)]
    assert usable(found) == ["submission:contoso/relay1@contoso.com", "submission:contoso/relay2@contoso.com"]


@pytest.mark.parametrize(
    ("sender", "accounts"),
    [
        ("app@contoso.com", ["relay1", "relay2"]),
        ("App@CONTOSO.com", ["relay1", "relay2"]),
        ("scan-3@contoso.de", ["relay2"]),
        ("SCAN-3@contoso.de", ["relay2"]),
        ("other@contoso.de", []),
        ("otp@contoso.com", ["relay1", "relay2"]),
        ("app@contoso.com.evil.example", []),
        ("app@notcontoso.com", []),
    ],
)
def test_only_accounts_that_may_use_this_from(sender, accounts):
    names = usable(candidates(directory(), message(sender), INTERNAL))
    assert names == [f"submission:contoso/{name}@contoso.com" for name in accounts]


def test_the_envelope_sender_counts_where_no_from_is_known():
    assert usable(candidates(directory(), message("app@contoso.com", header_from=""), INTERNAL))


def test_accounts_kept_for_a_plan_serve_that_plan_besides_the_others():
    assert causes(candidates(directory(), message(), INTERNAL))["submission:contoso/otp@contoso.com"] is Cause.RESERVED
    assert len(usable(candidates(directory(), message(plan="otp"), INTERNAL))) == 3
    assert len(usable(candidates(directory(), message(), INTERNAL, "otp"))) == 3


@pytest.mark.parametrize(
    ("client", "plan", "leaves"),
    [("apps", "", False), ("apps", "anywhere", True), ("strict", "anywhere", False), ("free", "", True)],
)
def test_never_outside_the_tenant_unless_plan_or_client_says_so(client, plan, leaves):
    found = candidates(directory(), message(client=client, plan=plan), EXTERNAL)
    outside = [item for item in found if not item.way.inside_tenant]
    assert [item.ok for item in outside] == [leaves]
    assert leaves or outside[0].cause is Cause.OUTSIDE
    assert not outside[0].way.counts_external


@pytest.mark.parametrize(("size", "accounts"), [(35 * MIB, 2), (35 * MIB + 1, 1), (150 * MIB + 1, 0)])
def test_a_message_goes_only_where_it_fits(size, accounts):
    found = candidates(directory(), message(size_bytes=size), INTERNAL)
    assert len(usable(found)) == accounts
    assert accounts == 2 or Cause.SIZE in causes(found).values()


def test_no_tenant_no_account_no_smart_host_are_said():
    assert set(causes(candidates(directory(), message(tenant=""), EXTERNAL)).values()) == {Cause.TENANT}
    bare = directory(tenants={"contoso": TenantWays(name="contoso", domains=frozenset({"contoso.com"}))})
    assert set(causes(candidates(bare, message(), EXTERNAL)).values()) == {Cause.NOT_SET_UP}
    assert candidates(directory(routes={}), message(), EXTERNAL) == ()


@given(st.sampled_from(["apps", "strict", "free"]), st.sampled_from(["", "anywhere", "otp"]), st.integers(0, 1 << 40))
def test_an_allowed_way_keeps_every_promise(client, plan, size):
    known = directory()
    for item in candidates(known, message(client=client, plan=plan, size_bytes=size), EXTERNAL):
        if item.ok:
            assert item.way.inside_tenant or known.may_leave(client, plan)
            assert size <= item.way.size_bytes
            assert item.cause is Cause.NONE


def settings():
    return Settings(
        tenants={
            "contoso": Tenant(
                id="1",
                domains=("Contoso.com",),
                service_accounts={
                    "OTP@contoso.com": ServiceAccount(only=("otp",)),
                    "Relay1@contoso.com": ServiceAccount(send_as=("*@contoso.com", "Boss@contoso.com")),
                },
                smarthost=SmartHostSettings(host="mx", recipients_per_message=7),
            )
        },
        routes=Routes(external=("submission", "smarthost")),
        plans={"free": Plan(outside_tenant=True)},
        clients={"a": Client(senders=("*",), outside_tenant=False), "b": Client(senders=("*",))},
    )


def test_the_directory_of_settings():
    built = directory_of(settings())
    tenant = built.tenants["contoso"]
    assert tenant.domains == {"contoso.com"}
    assert [item.scope for item in tenant.accounts] == ["contoso/otp@contoso.com", "contoso/relay1@contoso.com"]
    assert tenant.accounts[0].only == {"otp"}
    assert tenant.accounts[1].may_send_as("boss@contoso.com")
    assert (tenant.smarthost.scope, tenant.smarthost.recipients_per_message) == ("contoso/smarthost", 7)
    assert built.routes == {INTERNAL: ("submission",), EXTERNAL: ("submission", "smarthost")}
    assert (built.outside_plans, built.outside_clients) == ({"free"}, {"a": False})
    assert built.tenant_of("CONTOSO.com") == "contoso"
    assert built.tenant_of("other.com") == ""


def test_reports_come_from_an_account_that_serves_everybody():
    built = directory_of(settings())
    assert default_sender(built, "contoso") == "relay1@contoso.com"
    assert default_sender(built, "nobody") == ""
    bare = Directory(tenants={"x": TenantWays(name="x", domains=frozenset({"x.org"}))}, routes={})
    assert default_sender(bare, "x") == "postmaster@x.org"


ALL = Directory(
    tenants={
        "contoso": TenantWays(
            name="contoso",
            domains=frozenset({"contoso.com", "*.corp.contoso.de"}),
            connector=Connector(scope="contoso/connector", certificate=True, recipients_per_message=200),
            direct_send=DirectSend(scope="contoso/direct-send"),
            hve=(account("hve1@contoso.com", "news@contoso.com"),),
            acs=Acs(scope="contoso/acs", senders=PatternSet(("donotreply@contoso.com",)), size_bytes=10_000_000),
            smarthost=SmartHost(scope="contoso/smarthost"),
        )
    },
    routes=dict.fromkeys((INTERNAL, EXTERNAL), ("connector", "direct-send", "hve", "acs", "smarthost")),
    outside_clients={"free": True},
)


def by_address():
    ways = ALL.tenants["contoso"]
    known = structs.replace(ways, connector=structs.replace(ways.connector, certificate=False))
    return structs.replace(ALL, tenants={"contoso": known})


def paths(found):
    return [item.way.path for item in found if item.ok]


@pytest.mark.parametrize(
    ("sender", "direction", "taken"),
    [
        ("app@contoso.com", INTERNAL, ["connector", "direct-send"]),
        ("app@contoso.com", EXTERNAL, ["connector"]),
        ("hve1@contoso.com", INTERNAL, ["connector", "direct-send", "hve"]),
        ("NEWS@contoso.com", INTERNAL, ["connector", "direct-send", "hve"]),
        ("hve1@contoso.com", EXTERNAL, ["connector"]),
        ("x@a.corp.contoso.de", INTERNAL, ["connector", "direct-send"]),
        ("x@corp.contoso.de", INTERNAL, ["connector"]),
        ("x@elsewhere.org", INTERNAL, ["connector"]),
        ("x@elsewhere.org", EXTERNAL, ["connector"]),
        ("", INTERNAL, ["connector", "direct-send"]),
        ("", EXTERNAL, ["connector"]),
    ],
)
def test_who_may_send_what_to_whom_by_which_path(sender, direction, taken):
    assert paths(candidates(ALL, message(sender), direction)) == taken
    foreign = sender in ("", "x@elsewhere.org", "x@corp.contoso.de")
    without = [path for path in taken if not (path == "connector" and foreign)]
    assert paths(candidates(by_address(), message(sender), direction)) == without


@pytest.mark.parametrize(
    ("sender", "author", "taken"),
    [
        ("donotreply@contoso.com", "donotreply@contoso.com", True),
        ("donotreply@contoso.com", "app@contoso.com", False),
        ("app@contoso.com", "donotreply@contoso.com", False),
        ("", "donotreply@contoso.com", False),
    ],
)
def test_acs_sends_only_as_its_own_addresses_and_only_for_who_may_leave(sender, author, taken):
    found = candidates(ALL, message(sender, header_from=author, client="free"), EXTERNAL)
    assert ("acs" in paths(found)) is taken
    kept = candidates(ALL, message(sender, header_from=author), EXTERNAL)
    assert [item.cause for item in kept if item.way.path in ("acs", "smarthost")] == [Cause.OUTSIDE] * 2


def test_what_counts_against_the_tenant_and_where_reports_have_no_sender():
    ways = {item.way.path: item.way for item in candidates(ALL, message(client="free"), INTERNAL)}
    assert {path for path, way in ways.items() if way.counts_external} == {"connector"}
    assert {path for path, way in ways.items() if way.null_sender} == {"connector", "smarthost"}
    assert {path for path, way in ways.items() if not way.inside_tenant} == {"acs", "smarthost"}
    assert ways["connector"].account == "contoso/connector"
    own = candidates(by_address(), message(), INTERNAL)[0].way
    assert not own.null_sender


def test_why_not_is_said():
    said = {item.way.path: item.why_not for item in candidates(by_address(), message("x@elsewhere.org"), EXTERNAL)}
    assert said["connector"] == "a connector without a certificate takes no mail from x@elsewhere.org"
    assert said["direct-send"] == "direct send takes no mail from x@elsewhere.org"
    assert said["hve"] == "takes recipients of the tenant's domains only"
    null = candidates(by_address(), message(""), EXTERNAL)
    assert null[0].why_not == "a connector without a certificate takes no mail from the null sender"
    nothing = Directory(tenants={"contoso": TenantWays(name="contoso", domains=frozenset())}, routes=ALL.routes)
    assert {item.cause for item in candidates(nothing, message(), EXTERNAL)} == {Cause.NOT_SET_UP}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"size_bytes": 3_000_000}, None),
        ({"size_bytes": 3_000_001}, Cause.REBUILD),
        ({"size_bytes": 3_000_001, "plan": "big"}, None),
        ({"size_bytes": 3_000_001, "plan": "big", "signed": True}, Cause.REBUILD),
        ({"size_bytes": 60_000_001, "plan": "big"}, Cause.REBUILD),
        ({"size_bytes": 3_000_000, "signed": True}, None),
    ],
)
def test_larger_mail_goes_by_graph_only_unsigned_and_where_its_plan_says_so(change, cause):
    owner = account("relay2@contoso.com", "*@contoso.com", size=150 * MIB)
    tenant = TenantWays(name="contoso", domains=frozenset({"contoso.com"}), accounts=(owner,), graph=True)
    routes = {INTERNAL: ("graph",), EXTERNAL: ("graph",)}
    found = candidates(
        directory(tenants={"contoso": tenant}, routes=routes, rebuild_plans=frozenset({"big"})),
        message(**change),
        EXTERNAL,
        change.get("plan", ""),
    )
    assert [item.cause for item in found if not item.ok] == ([] if cause is None else [cause])
