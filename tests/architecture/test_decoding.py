"""Whoever reads foreign octets with msgspec is ready for all it raises, not for its own errors alone.

Octets that are no UTF-8 raise UnicodeDecodeError, and what is nested a thousand deep RecursionError; neither is a
``msgspec.DecodeError``. One value of that kind from a disk, a peer or etcd must not end the task that reads it.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = {"DecodeError", "MsgspecError"}
TEXT = {"UnicodeDecodeError", "UnicodeError", "ValueError", "Exception"}
DEEP = {"RecursionError", "RuntimeError", "Exception"}


def caught(handler):
    """The names one ``except`` catches."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {ast.unparse(one).rpartition(".")[2] for one in kinds if one is not None}


def lacking(source):
    """Lines of ``try`` that catch an error of msgspec's but not the others reading may raise."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Try):
            names = set().union(*map(caught, node.handlers)) if node.handlers else set()
            if names & OWN and not (names & TEXT and names & DEEP):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    ("clause", "lacks"),
    [
        ("msgspec.DecodeError", True),
        ("(msgspec.DecodeError, UnicodeDecodeError)", True),
        ("(msgspec.MsgspecError, RecursionError)", True),
        ("(msgspec.DecodeError, UnicodeDecodeError, RecursionError)", False),
        ("(OSError, ValueError)", False),
    ],
)
def test_the_rule_sees_what_it_should(clause, lacks):
    assert bool(lacking(f"try:\n    read()\nexcept {clause}:\n    pass\n")) is lacks


def test_all_that_reading_raises_is_caught():
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for room in ("node", "coordinator")
        for path in (ROOT / room).rglob("*.py")
        for line in lacking(path.read_text())
    }
    assert not found, "catch (msgspec.DecodeError, UnicodeDecodeError, RecursionError)"
