"""The API of a running node, fuzzed from its own description: no 5xx, and nothing done without the right role."""

import hashlib
import itertools
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from node.admin.openapi import description
from node.audit import files_in, lines_of
from tests.support.ports import free_ports
from tests.support.simulated import Simulated, directory
from tests.support.world import relay, wide

ROLES = ("viewer", "operator", "admin")
TOKENS = 12
"""Of each role, shown in turn: one alone would soon have asked as often as it may, and the test would wait."""
OPERATIONS = [each.ok() for each in schemathesis.openapi.from_dict(description()).get_all_operations()]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    home = tmp_path_factory.mktemp("fuzz")
    until = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
    tokens = {
        f"{role}-{number}": {
            "hash": f"sha256:{hashlib.sha256(f'{role}-{number}'.encode()).hexdigest()}", "role": role, "until": until,
        }
        for role in ROLES for number in range(TOKENS)
    }  # fmt: skip
    with Simulated(home / "sim", directory(["relay1"])) as cloud:
        found = relay(cloud, home / "node", wide("relay1"), limits={})
        found.config["admin"] = {"port": free_ports(1)[0], "tokens": tokens}
        with found:
            yield found


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_whatever_is_asked_is_answered_as_described(operation, node):
    least = operation.definition.raw.get("x-role")
    base = f"http://127.0.0.1:{node.config['admin']['port']}"
    numbers = itertools.cycle(range(TOKENS))

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy())
    def check(case):
        number = next(numbers)
        for role in (None, *ROLES):
            before = deeds(node)
            answer = asked(case, base, {} if role is None else {"Authorization": f"Bearer {role}-{number}"})
            case.validate_response(answer, checks=CHECKS)
            if least is not None and role is None:
                assert answer.status_code == 401
            elif least is not None and ROLES.index(role) < ROLES.index(least):
                assert answer.status_code == 403
            if answer.status_code >= 400:
                assert deeds(node) == before, "refused, and yet something was done"

    check()


def asked(case, base: str, headers: dict[str, str]):
    """Ask; whoever asked too often waits, as told. Tokens made up are left out: an address that guesses is shut out."""
    case.headers.pop("Authorization", None)
    for _ in range(15):
        answer = case.call(base_url=base, headers=headers)
        if answer.status_code != 429:
            return answer
        time.sleep(1)
    raise AssertionError("asked too often for fifteen seconds")


def deeds(node) -> int:
    return len(asked_for(node))


def asked_for(node) -> list[dict]:
    """Give the audit's entries of what somebody asked for; the node tells of itself when an erasure came to its end."""
    entries = [json.loads(line) for _, line in lines_of(files_in(node.home / "spool" / "audit"))]
    return [one for one in entries if one["event"] != "an address is erased on every node"]


def test_the_node_is_still_well(node):
    assert node.status()["readiness"]["ready"]
    assert "Traceback" not in node.log.read_text()
    assert {one["role"] for one in asked_for(node)} <= {"operator", "admin"}
