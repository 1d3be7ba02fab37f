"""Terraform with the offline providers for every test of this folder; where it cannot be had they skip and say why."""

import pytest

from tests.terraform.offline.packages import UnavailableError, schemas, types_used
from tests.terraform.offline.server import serving
from tests.terraform.offline.terraform import OLDEST, TREE, Terraform, copied, program, version


def _attached(lock):
    if program() is None:
        pytest.skip("no terraform command on the path, nor in the variable TERRAFORM")
    if version() < OLDEST:
        pytest.skip(f"terraform {'.'.join(map(str, version()))} is older than {'.'.join(map(str, OLDEST))}")
    try:
        found = schemas(lock, types_used(TREE))
    except UnavailableError as reason:
        pytest.skip(str(reason))
    with serving(found) as attached:
        yield attached


@pytest.fixture(scope="session")
def older():
    yield from _attached("older.lock")


@pytest.fixture(scope="session")
def newer():
    yield from _attached("newer.lock")


@pytest.fixture
def terraform(older, tmp_path):
    """A copy of one's own, to change and to apply in."""
    return Terraform(copied(tmp_path), older)


@pytest.fixture(scope="session")
def shared(older, tmp_path_factory):
    """One copy for all tests that leave it as it is."""
    return Terraform(copied(tmp_path_factory.mktemp("shared")), older)


@pytest.fixture(scope="session")
def shared_newer(newer, tmp_path_factory):
    return Terraform(copied(tmp_path_factory.mktemp("newer")), newer)
