"""The three forms of password hashes."""

from datetime import date

import pytest

from node.policy.passwords import (
    HashKind,
    PasswordHashError,
    StoredPassword,
    hash_argon2,
    hash_fast,
    hash_pbkdf2,
    kind_of,
    verify_password,
)

SALT = bytes(range(16))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (hash_argon2, HashKind.ARGON2),
        (lambda password, salt: hash_pbkdf2(password, salt, 1000), HashKind.PBKDF2),
        (hash_fast, HashKind.FAST),
    ],
)
def test_made_and_checked(make, kind):
    stored = make("pässword".encode(), SALT)
    assert kind_of(stored) is kind
    assert verify_password(stored, "pässword".encode())
    assert not verify_password(stored, b"password")
    assert not verify_password(stored, b"")
    assert not verify_password(stored, b"x" * 5000)
    assert make("pässword".encode(), b"another salt 16b") != stored
    assert StoredPassword(hash=stored).slow is (kind is not HashKind.FAST)


def test_stored_forms_never_change():
    """Answers computed with ``hashlib`` alone; a hash in a customer's file must stay valid for ever."""
    assert (
        hash_pbkdf2(b"password", SALT, 1000)
        == "$pbkdf2-sha256$1000$AAECAwQFBgcICQoLDA0ODw$JeuGrMduQwGPGLmo+Qwv7UYtHHmeg9SK49fGkEamC2c"
    )
    assert (
        hash_fast(b"password", SALT) == "$relay-fast$AAECAwQFBgcICQoLDA0ODw$wv9ZZ+gpZfhC0MnTqavL7P6bhQDzMH64xR5cMyeNoTA"
    )


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "secret",
        "$argon2i$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=99999999,t=3,p=4$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=65536,t=999,p=4$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=65536,t=0,p=4$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=16,t=1,p=4$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=65536,t=1,p=0$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAA",
        "$pbkdf2-sha256$1$AAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAA",
        "$pbkdf2-sha256$0$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAA",
        "$pbkdf2-sha256$999999999$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAA",
        "$pbkdf2-sha256$x$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAA",
        "$relay-fast$short$AAAAAAAAAAAAAAAAAAAA",
        "$relay-fast$AAAAAAAAAAAAAAAA$AAAAAAAAAAAA\nAAAAAAAA",
        "$2b$12$abcdefghijklmnopqrstuv",
    ],
)
def test_bad_hashes_are_refused_and_not_repeated(stored):
    with pytest.raises(PasswordHashError) as caught:
        kind_of(stored)
    assert not stored or stored not in str(caught.value)


def test_until_is_inclusive_and_repr_hides_the_hash():
    stored = StoredPassword(hash="$relay-fast$x", until=date(2027, 1, 31))
    assert stored.counts(date(2027, 1, 31))
    assert not stored.counts(date(2027, 2, 1))
    assert "fast" not in repr(stored)
