"""Configured reply rows go before the built-in table and mean what they say."""

import pytest

from node.errors import ConfigurationError
from node.policy.classify import Classifier
from node.policy.reply import Reply, Stage
from node.policy.verdict import Outcome, Scope
from node.settings.replies import reply_rows
from tests.support.settings_files import CLIENTS, TENANT, loaded

ROWS = """\
replies:
  - {reason: our_gateway_full, codes: [451], text: ["Gateway Full"], paths: [smarthost], scope: path,
     outcome: switch, rest: [30s, 5m], alert: true}
"""


def test_configured_row_decides_before_the_table(tmp_path):
    rows = reply_rows(loaded(tmp_path, TENANT + CLIENTS + ROWS).settings.replies)
    judge = Classifier(first=rows)
    verdict = judge.classify("smarthost", Stage.DOT, Reply(code=451, enhanced="4.3.0", text="the gateway FULL today"))
    assert (verdict.reason, verdict.scope, verdict.outcome) == ("our_gateway_full", Scope.PATH, Outcome.SWITCH)
    assert verdict.schedule == (30.0, 300.0)
    assert verdict.source == "configuration"
    assert judge.classify("submission", Stage.DOT, Reply(code=451, text="gateway full")).reason != "our_gateway_full"


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("{reason: a, codes: [550], scope: message, outcome: switch}", "no end"),
        ("{reason: a, codes: [550], stages: [auth], scope: message, outcome: bounce}", "before MAIL"),
        ("{reason: a, scope: message, outcome: bounce}", "say which replies"),
    ],
)
def test_a_rule_that_could_harm_is_refused(tmp_path, rule, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        loaded(tmp_path, TENANT + CLIENTS + f"replies:\n  - {rule}\n")
