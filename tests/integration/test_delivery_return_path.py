"""What leaves by a smart host leaves with the keyed return path, if there is one."""

from node.policy.envelope import RecipientState
from node.policy.return_path import ReturnAddresses, ReturnPath, Tokens
from tests.support.delivery_room import room, smarthost
from tests.support.smtp_upstream import Upstream

PATH = ReturnPath(ReturnAddresses(by_tenant={"contoso": "relay-bounces@contoso.com"}), Tokens([b"k" * 32]))


async def test_the_envelope_sender_names_the_message(tmp_path):
    async with Upstream() as up, room(tmp_path, smarthost(up.port)) as back:
        plain = await back.submit("bob@example.com")
        await back.until(plain, RecipientState.DELIVERED)
        back.delivery.returning(PATH)
        keyed = await back.submit("bob@example.com")
        await back.until(keyed, RecipientState.DELIVERED)
        first, second = up.mails
        assert first.mail_from == "app@contoso.com"
        assert PATH.read(second.mail_from) == keyed
        assert b"From: app@contoso.com" in second.data, "people see who wrote it"
