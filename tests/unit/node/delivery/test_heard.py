"""The last reply of each way, and which attempts count as going over to another one."""

from types import SimpleNamespace

import pytest

from node.delivery.heard import Heard
from node.delivery.measure import switches
from node.policy.reply import Reply, Stage, said

WAY = "submission:contoso/relay1@contoso.com"


def job(*before: tuple[str, str], way: str = WAY):
    recipients = tuple(SimpleNamespace(last_way=name, last_reason=reason) for name, reason in before)
    return SimpleNamespace(way=SimpleNamespace(name=way, path=way.partition(":")[0]), recipients=recipients)


def fate(code: int, enhanced: str = "", text: str = "", stage: Stage = Stage.DOT):
    return SimpleNamespace(stage=stage, reply=Reply(code=code, enhanced=enhanced, text=text))


def course(**facts):
    return SimpleNamespace(**{"local": False, **facts})


def test_the_last_answer_counts():
    heard = Heard()
    heard.attempt(job(), course(), SimpleNamespace(fates=[fate(250, "2.0.0", "fine")]), 5)
    heard.attempt(job(), course(), SimpleNamespace(fates=[fate(550, "5.7.1", "not\x1b[31m\nso")]), 7)
    last = heard.last[WAY]
    assert (last.at_ms, last.stage, last.code, last.enhanced) == (7, Stage.DOT, 550, "5.7.1")
    assert last.text.isprintable()


def test_whom_an_answer_names_is_not_shown():
    heard = Heard()
    heard.attempt(
        job(), course(), SimpleNamespace(fates=[fate(550, "5.1.1", "<jane.doe@example.com> no such user")]), 7
    )
    assert "jane" not in heard.last[WAY].text
    assert heard.last[WAY].text.endswith("@example.com> no such user")


def test_what_was_decided_here_is_nobodys_answer():
    heard = Heard()
    heard.attempt(job(), course(local=True), SimpleNamespace(fates=[fate(550)]), 5)
    heard.attempt(job(), course(), SimpleNamespace(fates=[]), 5)
    assert heard.last == {}


def test_no_connection_is_told_too():
    heard = Heard()
    refused = SimpleNamespace(stage=Stage.CONNECT, reply=Reply(code=0, text="timeout"))
    heard.refused(job(), refused, 9)
    last = heard.last[WAY]
    assert said(last.code, last.enhanced, last.text) == "no answer: timeout"
    assert said(451, "4.7.500", "busy") == "451 4.7.500 busy"


@pytest.mark.parametrize(
    ("before", "found"),
    [
        ((), []),
        ((("", ""),), []),
        (((WAY, "busy"),), []),
        ((("submission:contoso/relay2@contoso.com", "busy"),), [("account", "busy")]),
        ((("connector:contoso", "timeout"),), [("path", "timeout")]),
        ((("connector:contoso", "timeout"), (WAY, "x"), ("", "")), [("path", "timeout")]),
    ],
)
def test_only_another_way_than_before_is_a_failover(before, found):
    assert switches(job(*before)) == found
