"""Where each request of Graph goes."""

from typing import TYPE_CHECKING

from node.rehearsal.simulator.graph.drafts import Drafts
from node.rehearsal.simulator.graph.looking import Looking
from node.rehearsal.simulator.graph.sending import Sending
from node.rehearsal.web import Handler

if TYPE_CHECKING:
    from node.rehearsal.simulator.hub import Hub

_USER = "/v1.0/users/{mailbox}"
_MESSAGE = _USER + "/messages/{id}"


def graph_routes(hub: "Hub") -> dict[tuple[str, str], Handler]:
    """Give the routes; handlers read the bodies themselves."""
    sending, looking = Sending(hub), Looking(hub)
    drafts = Drafts(hub, sending)
    return {
        ("POST", f"{_USER}/sendMail"): sending.send_mail,
        ("POST", f"{_USER}/messages"): drafts.create,
        ("GET", f"{_USER}/mailFolders/drafts/messages"): drafts.listed,
        ("POST", f"{_MESSAGE}/attachments"): drafts.attach,
        ("POST", f"{_MESSAGE}/attachments/createUploadSession"): drafts.session,
        ("POST", f"{_MESSAGE}/send"): drafts.send,
        ("DELETE", _MESSAGE): drafts.delete,
        ("PUT", "/upload/{upload}"): drafts.put,
        ("GET", f"{_USER}/mailFolders/sentitems/messages"): looking.sent_items,
        ("GET", f"{_USER}/mailFolders/sentitems/messages/{{id}}/$value"): looking.sent_value,
        ("GET", "/v1.0/admin/exchange/tracing/messageTraces"): looking.traces,
    }
