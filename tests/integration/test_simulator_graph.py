"""The simulated Graph is as strict as the real one about drafts, upload sessions and who may read."""

import json
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest

from node.m365.graph import Graph, mailbox_url
from node.m365.https import Https
from node.policy.marker import DRAFT_PROPERTY, DRAFT_VALUE
from node.settings.host import Egress
from node.settings.ways import graph_flow
from tests.support.graph_room import cloud, tokens_of

BOX = "relay1@contoso.com"


class Client:
    """A program that asks Graph for one mailbox."""

    def __init__(self, simulator, graph, tokens):
        self.simulator, self.graph, self.tokens = simulator, graph, tokens

    async def ask(self, method, what, value=None, mailbox=BOX):
        token = await self.tokens.token(graph_flow("contoso"))
        body = None if value is None else json.dumps(value).encode()
        url = mailbox_url(self.simulator.graph_url, mailbox, what)
        return await self.graph.call(method, url, token, body=body)

    async def draft(self, **value) -> str:
        answer = await self.ask("POST", "messages", {"toRecipients": [], **value})
        assert answer.status == 201, answer
        return f"messages/{quote(answer.value['id'], safe='')}"

    async def put(self, url: str, first: int, data: bytes, total: int, token=None):
        headers = {"Content-Range": f"bytes {first}-{first + len(data) - 1}/{total}"}
        return await self.graph.call("PUT", url, token, body=data, headers=headers)


@asynccontextmanager
async def client(tmp_path, **app):
    async with cloud(("relay1", "relay2"), app=app) as simulator:
        graph, tokens = Graph(Https(Egress(ca=simulator.ca_file))), tokens_of(simulator, tmp_path)
        try:
            yield Client(simulator, graph, tokens)
        finally:
            await tokens.close()
            await graph.close()


SIX = [f"X-{number}" for number in range(6)]


def own(*names: str) -> list[dict]:
    return [{"name": name, "value": "1"} for name in names]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"internetMessageHeaders": own(*SIX)}, "InvalidInternetMessageHeaderCollection"),
        ({"internetMessageHeaders": own("List-Id")}, "InvalidInternetMessageHeader"),
        ({"subject": "s" * 256}, "ErrorPropertyValidation"),
    ],
    ids=["six", "no X-", "subject"],
)  # fmt: skip
async def test_header_fields_graph_refuses(tmp_path, value, code):
    async with client(tmp_path) as one:
        answer = await one.ask("POST", "messages", value)
        assert (answer.status, answer.code) == (400, code)


async def test_drafts_are_listed_by_a_property_and_only_those(tmp_path):
    async with client(tmp_path) as one:
        mine = await one.draft(singleValueExtendedProperties=[{"id": DRAFT_PROPERTY, "value": DRAFT_VALUE}])
        await one.draft(subject="another's")
        wanted = f"ep/id eq '{DRAFT_PROPERTY}' and ep/value eq '{DRAFT_VALUE}'"
        query = quote(f"singleValueExtendedProperties/any(ep: {wanted})")
        answer = await one.ask("GET", f"mailFolders/drafts/messages?$filter={query}")
        assert [f"messages/{quote(row['id'], safe='')}" for row in answer.value["value"]] == [mine]
        everything = await one.ask("GET", "mailFolders/drafts/messages")
        assert len(everything.value["value"]) == 2
        assert (await one.ask("GET", "mailFolders/drafts/messages?$filter=subject%20eq%20'x'")).status == 400


async def test_chunks_out_of_order_and_a_draft_sent_before_its_end_are_violations(tmp_path):
    async with client(tmp_path) as one:
        made = await one.draft(toRecipients=[{"emailAddress": {"address": "bob@example.com"}}])
        item = {"AttachmentItem": {"attachmentType": "file", "name": "a", "size": 10}}
        answer = await one.ask("POST", f"{made}/attachments/createUploadSession", item)
        url = answer.value["uploadUrl"]
        assert (await one.put(url, 5, b"x" * 5, 10)).status == 416
        assert (await one.put(url, 0, b"x" * 5, 10)).status == 200
        await one.ask("POST", f"{made}/send")
        violations = one.simulator.hub.stats()["violations"]
        assert (violations["graph_upload_order"], violations["graph_sent_unfinished"]) == (1, 1)


DELTA = "mailFolders/inbox/messages/delta"


@pytest.mark.parametrize(
    ("app", "status"),
    [
        ({"graph": ["Mail.Read"]}, 200),
        ({"graph": ["Mail.ReadWrite"]}, 200),
        ({"graph": ["Mail.Send"]}, 403),
        ({"graph": ["Mail.ReadBasic.All"]}, 403),
        ({"graph": []}, 403),
        ({"graph": [], "scoped_graph": ["Mail.Read"]}, 200),
        ({"graph": [], "scoped_graph": ["Mail.Read"], "mailboxes": ["relay2@contoso.com"]}, 403),
        ({"graph": ["Mail.Read"], "mailboxes": ["relay2@contoso.com"]}, 200),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_mailbox_is_read_only_with_the_right_to_it(tmp_path, app, status):
    """A consent reaches every mailbox; a role given in Exchange only those of its scope (operations M12)."""
    async with client(tmp_path, **app) as one:
        assert (await one.ask("GET", DELTA)).status == status
        assert (await one.ask("GET", "messages/none/$value")).status == (404 if status == 200 else 403)


async def test_drafts_want_the_right_to_write(tmp_path):
    async with client(tmp_path, graph=["Mail.Send", "Mail.Read"]) as one:
        assert (await one.ask("POST", "messages", {})).status == 403
        assert (await one.ask("GET", "mailFolders/drafts/messages")).status == 200
