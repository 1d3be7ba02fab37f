"""Tokens, roles, and how often somebody may try."""

import hashlib

import pytest

from node.admin.access import (
    REQUESTS,
    SESSIONS_MAX,
    TRIES,
    TRIES_S,
    WATCHED_MAX,
    Caller,
    Denied,
    Gatekeeper,
    Often,
    Role,
    Token,
    permit,
)
from node.policy.passwords import token_digest

NOW = 1_800_000_000_000


def token(name: str = "alice", role: Role = Role.OPERATOR, until_ms: int = NOW + 1) -> Token:
    return Token(name=name, digest=hashlib.sha256(name.encode()).hexdigest(), role=role, until_ms=until_ms)


def status(keeper: Gatekeeper, header: str, address: str = "10.0.0.1", now_ms: int = NOW) -> int:
    try:
        keeper.admit(header, address, now_ms)
    except Denied as error:
        return error.status
    return 200


def test_a_token_says_who_and_what():
    keeper = Gatekeeper([token()])
    alice = Caller(name="alice", role=Role.OPERATOR, at="10.0.0.1", proven=True)
    assert keeper.admit("Bearer alice", "10.0.0.1", NOW) == alice
    assert status(keeper, "bearer alice") == 200


@pytest.mark.parametrize(
    "header", ["", "alice", "Basic alice", "Bearer", "Bearer bob", "Bearer alice x", "Bearer \udcff"]
)
def test_anything_else_is_nobody(header):
    assert status(Gatekeeper([token()]), header) == 401


def test_a_token_ends_and_a_replaced_one_is_forgotten():
    keeper = Gatekeeper([token(until_ms=NOW)])
    with pytest.raises(Denied, match="that of alice has ended"):
        keeper.admit("Bearer alice", "10.0.0.1", NOW)
    keeper.replace([token("bob")])
    assert (status(keeper, "Bearer bob"), status(keeper, "Bearer alice")) == (200, 401)


def test_whoever_guesses_is_not_listened_to_and_others_are():
    keeper = Gatekeeper([token()])
    assert [status(keeper, f"Bearer {number}") for number in range(TRIES)] == [401] * TRIES
    assert status(keeper, "Bearer alice") == 429, "not even with the right one"
    assert status(keeper, "Bearer alice", "10.0.0.2") == 200
    assert status(keeper, "Bearer alice", now_ms=NOW + int(TRIES_S * 1000)) == 401, "it ended meanwhile"
    assert status(Gatekeeper([token()]), "") == 401


def test_who_asks_without_a_token_is_no_guesser():
    keeper = Gatekeeper([token()])
    assert {status(keeper, "") for _ in range(3 * TRIES)} == {401}
    assert status(keeper, "Bearer alice") == 200


def test_a_token_asks_only_so_often():
    keeper = Gatekeeper([token(until_ms=NOW * 2), token("bob")])
    assert [status(keeper, "Bearer alice") for _ in range(REQUESTS + 1)] == [200] * REQUESTS + [429]
    assert status(keeper, "Bearer bob") == 200
    assert status(keeper, "Bearer alice", now_ms=NOW + 10_000) == 200


def test_what_is_counted_is_bounded():
    often = Often(1, 60)
    for number in range(3 * WATCHED_MAX):
        often.note(str(number), 1.0)
    assert len(often._seen) <= WATCHED_MAX


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("least", Role)
def test_a_role_includes_those_before_it(role, least):
    caller = Caller(name="alice", role=role, at="10.0.0.1")
    if role >= least:
        permit(caller, least)
    else:
        with pytest.raises(Denied, match=f"takes the role {least.name.lower()}") as caught:
            permit(caller, least)
        assert caught.value.status == 403


def test_who_signed_in_is_known_until_the_session_ends_or_is_closed():
    keeper = Gatekeeper(())
    session = Token(name="oidc:anna", digest=token_digest("secret"), role=Role.OPERATOR, until_ms=2_000)
    keeper.open(session, 1_000)
    keeper.replace(())
    assert keeper.admit("Bearer secret", "10.0.0.1", 1_999).name == "oidc:anna", "a reload does not end it"
    with pytest.raises(Denied, match="that of oidc:anna has ended"):
        keeper.admit("Bearer secret", "10.0.0.1", 2_000)
    assert keeper.close("secret") == session
    assert keeper.close("secret") is None
    with pytest.raises(Denied):
        keeper.admit("Bearer secret", "10.0.0.1", 1_500)


def test_so_many_sessions_and_those_that_ended_make_room():
    keeper = Gatekeeper(())
    for number in range(SESSIONS_MAX):
        name = f"oidc:{number}"
        keeper.open(Token(name=name, digest=token_digest(name), role=Role.VIEWER, until_ms=2_000 + number), 1_000)
    one_more = Token(name="oidc:more", digest=token_digest("more"), role=Role.VIEWER, until_ms=9_000)
    with pytest.raises(Denied, match="too many people"):
        keeper.open(one_more, 1_000)
    keeper.open(one_more, 2_000)
    assert keeper.admit("Bearer more", "10.0.0.1", 2_500).name == "oidc:more"
