"""A report is believed only where id, recipient, state, way and time all fit."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.policy.envelope import Direction, RecipientState
from node.policy.ndr.values import Notice, Returned, Said
from node.policy.reply import Reply
from node.spool.contract import JourneyLine, MessageView, Queued
from node.truth.contract import HOW_FAR, WINDOW_MS, Came
from node.truth.match import failures, matches
from tests.support.spool_mail import T0, message

S = RecipientState
MAILBOX = Came(mailbox="app@contoso.com", tenant="contoso")
SMTP = Came(address="relay-bounces+x@contoso.com")
ACCOUNT = "submission:contoso/relay1@contoso.com"
NOW = T0 + 60_000


def view(*, state=S.DELIVERED, way=ACCOUNT, original="", later=False, **facts) -> MessageView:
    made = message(to=("bob@x.example", "eve@x.example"), **facts)
    queued = tuple(
        Queued(
            index=index, address=one.address, direction=Direction.EXTERNAL, state=state, attempts=0, next_attempt_ms=0,
            last_way=way, original=original if not index else "",
        )
        for index, one in enumerate(made.recipients)
    )  # fmt: skip
    lines = [JourneyLine(at_ms=T0 + 1_000, event="delivered", indexes=(0, 1))]
    if later:
        lines.append(JourneyLine(at_ms=T0 + 2_000, event="bounced_later", indexes=(0, 1)))
    return MessageView(message=made, recipients=queued, lines=tuple(lines), finished_ms=T0 + 1_000)


def notice(*finals: str, said=Said.FAILED, original: str = "") -> Notice:
    reply = Reply(code=550, enhanced="5.1.1", text="no")
    rows = tuple(Returned(final=one, original=original, said=said, status="5.1.1", reply=reply) for one in finals)
    return Notice(recipients=rows)


def why(
    found: MessageView | None, said: Notice, came: Came = MAILBOX, now_ms: int = NOW, *, keyed: bool = False
) -> str:
    return matches(found, said, came, now_ms, keyed=keyed).why


def test_a_report_in_the_from_mailbox():
    (one,) = matches(view(), notice("Bob@X.example"), MAILBOX, NOW, keyed=False).found
    assert (one.queued.index, one.returned.status) == (0, "5.1.1")


@pytest.mark.parametrize("mailbox", ["relay1@contoso.com", "app@contoso.com", "APP@contoso.com"])
def test_either_place_will_do(mailbox):
    assert why(view(), notice("bob@x.example"), Came(mailbox=mailbox, tenant="contoso")) == ""


@pytest.mark.parametrize("way", ["hve:contoso/hve1@contoso.com", "direct-send:contoso/direct-send"])
def test_where_nobody_has_a_mailbox_to_log_in_to_only_the_senders_will_do(way):
    assert why(view(way=way), notice("bob@x.example"), MAILBOX) == ""
    for other in ("hve1@contoso.com", "direct-send", "other@contoso.com"):
        assert why(view(way=way), notice("bob@x.example"), Came(mailbox=other, tenant="contoso")) == "way"
    assert why(view(way=way), notice("bob@x.example"), Came(mailbox="app@contoso.com", tenant="fabrikam")) == "way"


def test_by_direct_send_a_key_proves_it_too():
    sent = view(way="direct-send:contoso/direct-send")
    assert why(sent, notice("bob@x.example"), SMTP, keyed=True) == ""
    assert why(view(way="hve:contoso/hve1@contoso.com"), notice("bob@x.example"), SMTP, keyed=True) == "way"


def test_both_recipients_of_one_report():
    found = matches(view(), notice("bob@x.example", "eve@x.example", "bob@x.example"), MAILBOX, NOW, keyed=False).found
    assert [one.queued.index for one in found] == [0, 1]


def test_the_address_the_client_named_will_do():
    named = view(original="root@corp.local")
    assert why(named, notice("other@x.example", original="root@corp.local")) == ""


@pytest.mark.parametrize(
    ("found", "said", "came", "now_ms", "reason"),
    [
        (None, notice("bob@x.example"), MAILBOX, NOW, "message"),
        (view(), notice("mallory@x.example"), MAILBOX, NOW, "recipient"),
        (view(), notice(""), MAILBOX, NOW, "recipient"),
        (view(state=S.QUEUED), notice("bob@x.example"), MAILBOX, NOW, "state"),
        (view(state=S.BOUNCED), notice("bob@x.example"), MAILBOX, NOW, "state"),
        (view(state=S.BOUNCED, later=True), notice("bob@x.example"), MAILBOX, NOW, "repeated"),
        (view(), notice("bob@x.example"), Came(mailbox="other@contoso.com", tenant="contoso"), NOW, "way"),
        (view(), notice("bob@x.example"), Came(mailbox="relay1@contoso.com", tenant="fabrikam"), NOW, "way"),
        (view(way="connector:contoso/connector"), notice("bob@x.example"), MAILBOX, NOW, "way"),
        (view(), notice("bob@x.example"), SMTP, NOW, "way"),
        (view(), notice("bob@x.example"), MAILBOX, T0 + 2_000 + WINDOW_MS, "window"),
        (view(), notice("bob@x.example"), MAILBOX, T0 - 3_600_000, "window"),
    ],
)
def test_what_does_not_fit(found, said, came, now_ms, reason):
    result = matches(found, said, came, now_ms, keyed=False)
    assert (result.found, result.why) == ((), reason)


def test_a_key_proves_only_what_left_with_one():
    keyed = view(way="connector:contoso/connector")
    assert why(keyed, notice("bob@x.example"), SMTP, keyed=True) == ""
    assert why(view(), notice("bob@x.example"), SMTP, keyed=True) == "way"


@pytest.mark.parametrize("said", [one for one in Said if one is not Said.FAILED])
def test_only_failures_count(said):
    assert failures(notice("bob@x.example", said=said)) == ()


@given(
    st.sampled_from(list(S)), st.sampled_from([ACCOUNT, "connector:contoso/c", "graph:contoso/relay1@contoso.com", ""]),
    st.sampled_from([MAILBOX, SMTP, Came(mailbox="x@y.example", tenant="contoso")]),
    st.integers(T0 - WINDOW_MS, T0 + 2 * WINDOW_MS), st.booleans(),
    st.lists(st.sampled_from(["bob@x.example", "eve@x.example", "mallory@x.example", ""]), min_size=1, max_size=4),
)  # fmt: skip
def test_whatever_is_said_only_delivered_recipients_of_the_message_are_found(state, way, came, now_ms, keyed, finals):
    found = view(state=state, way=way)
    result = matches(found, notice(*finals), came, now_ms, keyed=keyed)
    assert bool(result.found) is (result.why == "")
    assert result.why in ("", "repeated", *HOW_FAR)
    for one in result.found:
        assert one.queued.state is S.DELIVERED
        assert one.returned.final in {queued.address for queued in found.recipients}
    if not keyed and not came.mailbox:
        assert not result.found


def test_reports_cross_processes_whole():
    from node.truth.contract import Claim

    claim = Claim(notice=notice("bob@x.example"), came=MAILBOX)
    assert msgspec.json.decode(msgspec.json.encode(claim), type=Claim) == claim
