"""Who signed in by a provider at one node proves it to another one, which asks the provider's keys itself."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.admin.access import Denied, Role
from node.admin.trust import Trust
from node.policy.proof import Credential
from tests.integration.test_admin_oidc import door

LASTS_S = 3_600.0


@pytest.fixture
async def house(tmp_path):
    async with door(tmp_path, lasts_s=LASTS_S) as made:
        yield made


async def signed_in(house) -> Credential:
    status, text, _ = await house.sign_in()
    assert status == 200, text
    (found,) = house.server.gatekeeper._credentials.values()
    return found


def trust(house, node: str = "n2", **facts) -> Trust:
    return Trust("corp", node, oidc=house.oidc, **facts)


async def test_his_name_and_role_are_the_providers_word(house):
    credential = await signed_in(house)
    signed = trust(house, "n1").signed(credential, "n2", "queue-act", b"order")
    caller = await trust(house).once("n1", "queue-act", signed, Role.OPERATOR)
    assert (caller.name, caller.role, caller.at) == ("oidc:anna@contoso.com", Role.OPERATOR, "n1")
    with pytest.raises(Denied, match="takes the role admin"):
        await trust(house).once("n1", "queue-act", signed, Role.ADMIN)
    assert "eyJ" not in repr(credential)


async def test_his_id_token_is_worth_nothing_with_another_key(house):
    credential = await signed_in(house)
    stolen = Credential(Ed25519PrivateKey.generate(), credential.id_token)
    signed = trust(house, "n1").signed(stolen, "n2", "queue-act", b"order")
    with pytest.raises(Denied, match="answers another request"):
        await trust(house).once("n1", "queue-act", signed, Role.VIEWER)


async def test_a_sign_in_that_is_over_proves_nothing(house):
    credential = await signed_in(house)
    now_ms = trust(house)._now_ms() + round(LASTS_S * 1000)
    for later_ms, ended in ((-5_000, False), (120_000, True)):
        other = trust(house, now_ms=lambda later_ms=later_ms: now_ms + later_ms)
        signed = other.signed(credential, "n2", "queue-act", b"order")
        if ended:
            with pytest.raises(Denied, match="sign-in is over"):
                await other.once("n1", "queue-act", signed, Role.OPERATOR)
        else:
            assert (await other.once("n1", "queue-act", signed, Role.OPERATOR)).role is Role.OPERATOR


async def test_another_issuers_word_and_a_node_without_a_provider(house):
    credential = await signed_in(house)
    signed = trust(house, "n1").signed(credential, "n2", "queue-act", b"order")
    with pytest.raises(Denied, match="not known here"):
        await Trust("corp", "n2").once("n1", "queue-act", signed, Role.VIEWER)
    forged = msgspec.structs.replace(signed, proof=msgspec.structs.replace(signed.proof, id_token="e30.e30.e30"))
    with pytest.raises(Denied, match="sign-in"):
        await trust(house).once("n1", "queue-act", forged, Role.VIEWER)
