"""What a person must act on has a cause in words and something to do."""

import pytest

from node.check.blocks import BLOCKS
from node.check.causes import Evidence, cause_of
from node.check.contract import Told
from node.policy.classify import Classifier
from node.policy.reply import Stage, reply_from
from node.policy.table import TABLE

ACT = [row for row in TABLE if row.alert]
CLASSIFIER = Classifier()


@pytest.mark.parametrize("row", ACT, ids=lambda row: row.reason)
def test_every_row_that_calls_for_a_person_names_cause_and_advice(row):
    code, _, rest = row.examples[0].partition(" ")
    stage = next((one for one in row.stages if one is not Stage.NDR), Stage.DOT)
    path = row.paths[0] if row.paths else "submission"
    told = Told(stage=stage, reply=reply_from(int(code), rest))
    cause = cause_of(told, path, Evidence(mailbox="relay1@contoso.com"), CLASSIFIER)
    assert cause.advice
    assert not cause.text.startswith("refused at"), cause


def test_no_cause_is_for_a_row_that_is_not_there():
    assert set(BLOCKS) <= {row.reason for row in TABLE}
