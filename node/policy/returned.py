"""Mail for the return path at our own door: who may hand it in, and that it is taken as it is (operations M8).

Nothing of it is relayed: it ends here. So its header is not judged and not finished; a report refused for its From
would only be lost.
"""

from typing import Final

from node.policy.clients import ClientRule
from node.policy.denials import Denial
from node.policy.envelope import Direction, Notify, Recipient
from node.policy.return_path import ReturnAddresses

RETURNS: Final = "(returned)"
"""Name of the rule for the networks of ``bounces.accept_from``; no client can be called so."""


def returned_recipient(
    returns: ReturnAddresses, client: ClientRule, address: str, accepted: int
) -> Recipient | Denial | None:
    """Judge a recipient as a return address; None: it is an ordinary one.

    Every client may hand in mail for an address with a key: it would only go to Microsoft and come back. Who is named
    by ``accept_from`` alone may hand in nothing else.
    """
    if returns.token_of(address) or (client.returns_only and returns.base_of(address)):
        if accepted:
            text = "mail for the return path goes by itself"
            return Denial(code=452, enhanced="4.5.3", text=text, reason="return_path_alone")
        return Recipient(address=address.lower(), direction=Direction.INTERNAL, notify=Notify.NEVER.value)
    if client.returns_only:
        text = "only mail for the return path is taken from here"
        return Denial(code=550, enhanced="5.7.1", text=text, reason="return_path_only")
    return None


def is_returned(returns: ReturnAddresses, client: str, recipients: tuple[Recipient, ...]) -> bool:
    """Tell whether a message is for the return path, by who handed it in or by its first recipient."""
    return client == RETURNS or bool(recipients and returns.token_of(recipients[0].address))
