"""What a message looks like in the mailbox it arrived in: whose it counts as. Pure."""

from typing import Final

from node.rehearsal.simulator.receipts import Receipt

ORGANIZATION: Final = "X-MS-Exchange-Organization-"
"""Words of the organisation's own; others' are taken off at its border."""


def arrived(receipt: Receipt) -> bytes:
    """Give a message's header as it lies in a mailbox; what it brought along of the organisation's words is taken off.

    ``Originating`` is what the organisation handed in itself, logged in or by a connector; mail from anybody, direct
    send with it, is ``Incoming`` (seen in published headers).
    """
    lines, ours = [], False
    for line in receipt.headers.splitlines():
        ours = line.lower().startswith(ORGANIZATION.lower()) if not line[:1].isspace() else ours
        if line and not ours:
            lines.append(line)
    own = receipt.service != "mx" or receipt.attribution == "connector"
    said = f"{ORGANIZATION}MessageDirectionality: {'Originating' if own else 'Incoming'}"
    return "\r\n".join([said, *lines, "", ""]).encode("latin-1", "replace")
