"""What ``m365 check`` asks of a mailbox through Graph besides sending: is it there, may drafts be written in it."""

from typing import Final

import msgspec

from node.check.contract import Told
from node.delivery.drafts import FOLDER, draft, drafts_of, messages
from node.delivery.graph_line import GraphLine
from node.m365.errors import HttpFailed
from node.m365.graph import GraphAnswer, asked, mailbox_url
from node.policy.http_reply import answer_reply, before_reply
from node.policy.marker import DRAFT_PROPERTY, DRAFT_VALUE
from node.policy.reply import Reply, Stage

PROBE_S: Final = 30.0
_OK, _CREATED, _SUCCESS = 200, 201, 2


async def looked_into(line: GraphLine) -> Told:
    """Ask for its drafts folder, which every mailbox has. Raises Refused."""
    answer = await _asked(line, "GET", asked(FOLDER, {"$select": "id", "$top": "1"}))
    if isinstance(answer, Told):
        return answer
    reply = answer_reply(answer.status, answer.code, answer.message, readable=answer.readable, due=_OK)
    return Told(stage=Stage.HTTP, reply=reply)


async def drafted(line: GraphLine) -> Told:
    """Write a draft to nobody and delete it again. Raises Refused."""
    value = {
        "subject": "Test of the mail relay",
        "singleValueExtendedProperties": [{"id": DRAFT_PROPERTY, "value": DRAFT_VALUE}],
    }
    made = await _asked(line, "POST", messages(), msgspec.json.encode(value))
    if isinstance(made, Told):
        return made
    name = made.value.get("id") if isinstance(made.value, dict) else None
    if made.status != _CREATED or not isinstance(name, str):
        return _before(made, "draft")
    for where in (draft(name), drafts_of(DRAFT_PROPERTY, DRAFT_VALUE)):
        method = "DELETE" if where == draft(name) else "GET"
        answer = await _asked(line, method, where)
        if isinstance(answer, Told):
            return answer
        if answer.status // 100 != _SUCCESS:
            return _before(answer, "clear" if method == "DELETE" else "look")
    return Told(stage=Stage.HTTP, reply=Reply(code=_CREATED, text="made, deleted and listed"))


def _before(answer: GraphAnswer, step: str) -> Told:
    reply = before_reply(answer.status, answer.code, answer.message, readable=answer.readable, step=step)
    return Told(stage=Stage.HTTP, reply=reply)


async def _asked(line: GraphLine, method: str, what: str, body: bytes | None = None) -> GraphAnswer | Told:
    url = mailbox_url(line.endpoint.graph, line.endpoint.user, what)
    try:
        return await line.graph.call(method, url, await line.token(), body=body, timeout_s=PROBE_S)
    except HttpFailed as error:
        stage = Stage.TLS if error.word in ("tls", "certificate") else Stage.CONNECT
        return Told(stage=stage, reply=Reply(code=0, text=f"{error.word} {error}"))
