"""What the header of a sample says, and the way it goes."""

import pytest

from node.policy.envelope import Direction
from node.policy.offers import Connector, Directory, TenantWays
from node.policy.route import candidates
from node.policy.sample import DIRECTION, Arrived, sample_of, seen_in

SAMPLE = sample_of(
    queue_id="q", message_id="<m@contoso.com>", tenant="contoso", sender="relay-bounces@contoso.com",
    mailbox="read@contoso.com", size_bytes=9, now_ms=1_000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("head", "arrived", "said"),
    [
        (b"From: a\r\nX-MS-Exchange-Organization-MessageDirectionality: Originating\r\n", Arrived.OURS, "Originating"),
        (b"x-ms-exchange-organization-messagedirectionality:  INCOMING \r\n", Arrived.ANYBODYS, "INCOMING"),
        (b"From: a\r\n", Arrived.UNSAID, ""),
        (f"{DIRECTION}: Sideways\r\n".encode(), Arrived.UNSAID, "Sideways"),
        (f"{DIRECTION}: {'x' * 200}\r\n".encode(), Arrived.UNSAID, "x" * 80),
        (b"Subject: x\r\n\r\nX-MS-Exchange-Organization-MessageDirectionality: Incoming\r\n", Arrived.UNSAID, ""),
        (b"\xff\xfe\x00", Arrived.UNSAID, ""),
        (b"", Arrived.UNSAID, ""),
    ],
)
def test_what_a_header_says(head, arrived, said):
    seen = seen_in(head)
    assert (seen.arrived, seen.said) == (arrived, said)


def test_it_goes_by_the_connector_whatever_the_routes_say_and_by_nothing_else():
    tenant = TenantWays(
        name="contoso", domains=frozenset({"contoso.com"}), connector=Connector(scope="contoso/connector")
    )
    for kinds in (("submission", "connector"), ("submission",), ()):
        directory = Directory(tenants={"contoso": tenant}, routes={Direction.INTERNAL: kinds})
        found = candidates(directory, SAMPLE, Direction.INTERNAL)
        assert [(one.way.name, one.ok) for one in found] == [("connector:contoso/connector", True)]


def test_nobody_hears_of_one_that_fails():
    assert SAMPLE.no_bounce
    assert SAMPLE.expires_ms == 601_000
