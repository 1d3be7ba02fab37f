"""What would become of a message: the same answer as intake and delivery would give."""

import pytest

from node.policy.choose import Shortage
from node.policy.explain import Question, QuestionError, explain
from node.policy.health import HealthBook
from node.settings.rules import intake_rules
from node.settings.ways import directory_of
from tests.support.settings_files import TENANT, loaded

NOW = 1_800_000_000_000
R1, R2 = "contoso/relay1@contoso.com", "contoso/relay2@contoso.com"
TEXT = (
    TENANT.replace("[relay1@contoso.com]", "[relay1@contoso.com, relay2@contoso.com]")
    + "  smarthost: {host: mx.example.com, size: 100MiB}\n"
    + "routes: {external: [submission, smarthost]}\n"
    + "plans: {free: {outside_tenant: true}, inside: {to: internal}}\n"
    + "rewrite: [{sender: root@srv1.contoso.com, to: it@contoso.com}]\n"
    + "clients:\n"
    + '  apps: {networks: [10.1.0.0/16], senders: ["*@contoso.com"]}\n'
    + '  free: {networks: [10.2.0.0/16], senders: ["*@contoso.com"], plan: free}\n'
    + '  inside: {networks: [10.3.0.0/16], senders: ["*@contoso.com"], plan: inside}\n'
    + "  scan: {networks: [10.4.0.0/16], senders: [s@contoso.com], redirect: archive@contoso.com}\n"
)


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    settings = loaded(tmp_path_factory.mktemp("s"), TEXT).settings
    rules, directory = intake_rules(settings, "n1"), directory_of(settings)

    def asked(sender="a@contoso.com", recipient="b@example.com", *, health=None, short=None, **more):
        question = Question(sender=sender, recipient=recipient, **more)
        return explain(question, rules, directory, health or HealthBook(), short or {}, NOW, plans=settings.plans)

    return asked


def states(answer):
    return [(way.account, way.state) for way in answer.ways]


def test_ways_in_their_order_and_the_one_taken(ask):
    answer = ask(client="apps")
    assert states(answer) == [(R1, "ready"), (R2, "ready"), ("contoso/smarthost", "no")]
    assert (answer.decision, answer.why) == ("take", f"submission:{R1}")
    assert (answer.tenant, answer.direction, answer.plan) == ("contoso", "external", "")


def test_ways_outside_the_tenant_are_shown_as_such(ask):
    assert [way.outside for way in ask(client="free").ways] == [False, False, True]
    assert [way.outside for way in ask(client="apps").ways] == [False, False, True]


def test_nobody_asked_for_names_who_may_use_the_sender(ask):
    answer = ask()
    assert answer.matching == ("clients that may use this sender: apps, free, inside",)
    assert answer.decision == "take"
    assert ask("a@other.org").matching == ("clients that may use this sender: none",)


def test_the_client_is_found_by_its_address(ask):
    assert ask(ip="10.2.3.4").client == "free"
    answer = ask(ip="192.0.2.1")
    assert (answer.decision, answer.refused) == ("refuse", "550 5.7.1 no client rule names 192.0.2.1")
    assert answer.matching[-1] == "result: no client, nothing is relayed"


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"client": "inside"}, "recipient_external"),
        ({"client": "scan"}, "sender_not_allowed"),
        ({"client": "apps", "size_bytes": 1 << 40}, "too_large"),
    ],
)
def test_what_the_door_refuses_is_refused_here(ask, more, word):
    answer = ask(**more)
    assert (answer.decision, answer.why, answer.ways) == ("refuse", word, ())


def test_internal_mail_passes_where_external_does_not(ask):
    assert ask(recipient="c@contoso.com", client="inside").direction == "internal"


def test_rewriting_and_redirection_come_first(ask):
    assert ask("root@srv1.contoso.com", client="apps").sender == "it@contoso.com"
    answer = ask("s@contoso.com", client="scan")
    assert (answer.recipient, answer.direction) == ("archive@contoso.com", "internal")


def test_a_large_message_takes_the_way_that_holds_it(ask):
    answer = ask(client="free", size_bytes=40 << 20)
    assert states(answer) == [(R1, "no"), (R2, "no"), ("contoso/smarthost", "ready")]
    assert answer.why == "smarthost:contoso/smarthost"
    assert ask(client="apps", size_bytes=40 << 20).decision == "bounce"


def test_what_rests_and_what_is_used_up_is_said(ask):
    book = HealthBook()
    book.park(f"account/{R1}", NOW, reason="locked", by="eve")
    answer = ask(client="apps", health=book)
    assert (answer.ways[0].state, answer.ways[0].why) == ("later", f"locked (account/{R1})")
    assert answer.why == f"submission:{R2}"
    short = {R2: Shortage(until_ms=NOW + 3_000)}
    answer = ask(client="apps", health=book, short=short)
    assert (answer.decision, answer.why) == ("wait", "no_permit, 3 s")


def test_the_tenants_limit_binds_only_mail_to_the_outside_of_its_accounts(ask):
    short = {"contoso": Shortage(until_ms=NOW + 60_000, reason="tenant_budget")}
    assert states(ask(client="free", short=short)) == [(R1, "later"), (R2, "later"), ("contoso/smarthost", "ready")]
    assert ask(client="free", recipient="c@contoso.com", short=short).decision == "take"


def test_the_null_sender(ask):
    assert ask("", client="apps").sender == ""
    assert ask("<>", client="apps").sender == ""


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"sender": "a b@contoso.com"}, "sender: "),
        ({"sender": "a\r\nRCPT TO:<x>@contoso.com"}, "sender: "),
        ({"recipient": ""}, "recipient: "),
        ({"recipient": "<b@example.com>"}, "recipient: "),
        ({"client": "nobody"}, "client: "),
        ({"plan": "none"}, "plan: "),
        ({"ip": "10.1.2"}, "ip: "),
    ],
)
def test_a_question_that_cannot_be_asked_names_what_is_wrong(ask, more, named):
    with pytest.raises(QuestionError) as caught:
        ask(**more)
    assert str(caught.value).startswith(named)


def test_addresses_beyond_ascii(ask):
    assert ask("grün@contoso.com", "jürgen@example.com", client="apps").decision == "take"


GRAPH = (
    TENANT
    + "routes: {internal: [graph], external: [graph]}\n"
    + "plans: {big: {rebuild: true}}\n"
    + "clients:\n"
    + '  apps: {networks: [10.1.0.0/16], senders: ["*@contoso.com"]}\n'
)


@pytest.mark.parametrize(
    ("plan", "size_bytes", "state", "why"),
    [
        ("", 3_000_000, "ready", ""),
        ("", 3_000_001, "no", "its plan does not allow it"),
        ("big", 3_000_001, "ready", "if it can be built anew"),
        ("big", 60_000_001, "no", "larger than 60000000 bytes"),
    ],
)
def test_what_is_too_large_for_one_request_to_graph(tmp_path, plan, size_bytes, state, why):
    text = GRAPH.replace(
        "[relay1@contoso.com]", '{relay1@contoso.com: {limits: {size: 150MiB}, send_as: ["*@contoso.com"]}}'
    )
    settings = loaded(tmp_path, text).settings
    question = Question(sender="a@contoso.com", recipient="b@example.com", size_bytes=size_bytes, plan=plan)
    answer = explain(
        question, intake_rules(settings, "n1"), directory_of(settings), HealthBook(), {}, NOW, plans=settings.plans
    )
    (way,) = answer.ways
    assert (way.path, way.state) == ("graph", state)
    assert why in way.why
    assert answer.decision == ("take" if state == "ready" else "bounce")


@pytest.mark.parametrize(
    ("plan", "client", "decision", "why"),
    [
        ("", "apps", "wait", "no_permit"),
        ("otp", "apps", "take", "connector:"),
        ("", "codes", "take", "connector:"),
        ("calm", "codes", "wait", "no_permit"),
    ],
)
def test_urgent_mail_goes_on_along_the_route_where_other_mail_waits(tmp_path, plan, client, decision, why):
    """By the plan asked about, else by the client's own."""
    text = (
        TENANT
        + "  connector: {host: mx.example.com}\n"
        + "routes: {external: [submission, connector]}\n"
        + "plans: {otp: {priority: urgent}, calm: {}}\n"
        + "clients:\n"
        + '  apps: {networks: [10.1.0.0/16], senders: ["*@contoso.com"]}\n'
        + '  codes: {networks: [10.2.0.0/16], senders: ["*@contoso.com"], plan: otp}\n'
    )
    settings = loaded(tmp_path, text).settings
    question = Question(sender="a@contoso.com", recipient="b@example.com", client=client, plan=plan)
    short = {"contoso/relay1@contoso.com": Shortage(until_ms=NOW + 2_000)}
    rules, directory = intake_rules(settings, "n1"), directory_of(settings)
    answer = explain(question, rules, directory, HealthBook(), short, NOW, plans=settings.plans)
    assert answer.decision == decision
    assert why in answer.why
