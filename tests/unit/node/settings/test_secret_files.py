"""Secrets are read where the configuration points, never shown, and refused with the place alone."""

import logging
import pickle

import pytest

from node.errors import ConfigurationError
from node.settings.base import SecretRef
from node.settings.secrets import MAX_SECRET_BYTES, Secret, read_secret, secret_path, secret_warnings


def test_a_secret_shows_itself_only_when_asked(caplog):
    secret = Secret("hunter2")
    logging.getLogger("test").warning("token %s %r", secret, secret)
    shown = f"{secret} {secret!r} {secret:>20} {[secret]} {caplog.text}"
    assert "hunter2" not in shown
    assert secret.reveal() == "hunter2"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_secrets_compare_by_content():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


@pytest.mark.parametrize(
    ("content", "expected"), [("s3\n", "s3"), ("s3\r\n", "s3"), ("s3", "s3"), ("s3\n\n", "s3\n"), (" s3", " s3")]
)
def test_one_newline_at_the_end_does_not_count(tmp_path, content, expected):
    path = tmp_path / "secret"
    path.write_bytes(content.encode())
    assert read_secret(SecretRef(file=path)).reveal() == expected


def test_credential_comes_from_the_directory_systemd_names(tmp_path):
    (tmp_path / "key").write_text("s3\n")
    ref = SecretRef(credential="key")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_secret(ref, environment).reveal() == "s3"
    assert secret_path(ref, environment) == tmp_path / "key"
    with pytest.raises(ConfigurationError, match="credential key: CREDENTIALS_DIRECTORY is not set"):
        read_secret(ref, {})


def test_environment_is_for_development():
    ref = SecretRef(env="RELAY_SECRET")
    assert read_secret(ref, {"RELAY_SECRET": "s3"}).reveal() == "s3"
    assert secret_path(ref, {}) is None
    assert "for development only" in secret_warnings(ref)[0]
    with pytest.raises(ConfigurationError, match="environment variable RELAY_SECRET is not set"):
        read_secret(ref, {})


def test_a_file_open_to_everyone_is_pointed_out(tmp_path):
    path = tmp_path / "secret"
    path.write_text("s3")
    path.chmod(0o640)
    assert secret_warnings(SecretRef(file=path)) == []
    path.chmod(0o644)
    assert "open to every user" in secret_warnings(SecretRef(file=path))[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hunter2\xff", "is not text"),
        (b"hunter2" * MAX_SECRET_BYTES, "is larger than"),
    ],
)
def test_unusable_secret_names_the_place_and_no_content(tmp_path, content, expected):
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=expected) as caught:
        read_secret(SecretRef(file=path))
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_directory_and_impossible_name(tmp_path):
    with pytest.raises(ConfigurationError, match="Is a directory"):
        read_secret(SecretRef(file=tmp_path))
    with pytest.raises(ConfigurationError, match="not a usable file name"):
        read_secret(SecretRef(file="a\0b"))


@pytest.mark.parametrize("name", ["../key", "a/b", ".", "..", ""])
def test_credential_names_lead_nowhere_else(name):
    with pytest.raises(ValueError, match="credential"):
        SecretRef(credential=name)


@pytest.mark.parametrize("places", [{}, {"file": "a", "env": "B"}])
def test_a_reference_names_exactly_one_place(places):
    with pytest.raises(ValueError, match="exactly one of file, credential or env"):
        SecretRef(**places)
