"""Mail leaves by Microsoft Graph, through real tokens and HTTPS, to the simulated one."""

from node.policy.envelope import RecipientState
from tests.support.graph_room import cloud, graph_room

S = RecipientState
BODY = (
    b"From: app@contoso.com\r\nTo: bob@example.com\r\nSubject: by graph\r\nMessage-ID: <1@contoso.com>\r\n\r\n.dot\r\n"
)


async def test_one_message_by_graph(tmp_path):
    async with cloud() as simulator, graph_room(tmp_path, simulator) as back:
        view = await back.until(await back.submit("bob@example.com", body=BODY), S.DELIVERED)
        (receipt,) = simulator.hub.receipts.latest
        assert (receipt.service, receipt.recipients, receipt.subject) == ("graph", ["bob@example.com"], "by graph")
        assert receipt.size_bytes == len(BODY)
        assert view.recipients[0].last_way.startswith("graph:contoso/relay")
        assert simulator.hub.stats()["violations"]["total"] == 0
