"""Every search in history finds an index that has its order: nothing but one millisecond's messages is ever sorted."""

import re
import sqlite3

import pytest

from node.policy.envelope import RecipientState
from node.spool import history
from node.spool.contract import Filter
from node.spool.queries import migrations, queries, query

S = RecipientState
WALKS = {
    "walk_time": "m USING INDEX messages_by_time (received_ms>? AND received_ms<?)",
    "walk_client": "m USING INDEX messages_by_client (client=? AND received_ms>? AND received_ms<?)",
    "walk_sender": "m USING INDEX messages_by_sender (sender=? AND received_ms>? AND received_ms<?)",
    "walk_env_sender": "m USING INDEX messages_by_env_sender (env_sender=? AND received_ms>? AND received_ms<?)",
    "walk_recipient": "x USING COVERING INDEX recipients_by_address (address=? AND received_ms>? AND received_ms<?)",
    "walk_original": "x USING COVERING INDEX recipients_by_original (original=? AND received_ms>? AND received_ms<?)",
}
FILTERS = [
    Filter(),
    Filter(ids=("m1",)),
    Filter(recipient="ann@x.example"),
    Filter(recipient="*@x.example"),
    Filter(sender="app@contoso.com"),
    Filter(sender="*@contoso.com"),
    Filter(client="apps"),
    Filter(since_ms=1, until_ms=2),
    Filter(states=(S.HELD,)),
    Filter(states=(S.QUEUED, S.DEFERRED)),
    Filter(states=(S.BOUNCED,), reason="why"),
    Filter(recipient="ann@x.example", sender="app@contoso.com", client="apps", since_ms=1),
]


def plan(name: str) -> list[str]:
    connection = sqlite3.connect(":memory:")
    for each in migrations():
        connection.executescript(each.text)
    text = query(name)
    params = dict.fromkeys(re.findall(r":(\w+)", text))
    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", params)]
    connection.close()
    return steps


@pytest.mark.parametrize(("name", "index"), WALKS.items())
def test_a_walk_goes_along_an_index_in_the_order_of_history(name, index):
    steps = plan(name)
    assert steps[0] == f"SEARCH {index}"
    assert [step for step in steps if "TEMP B-TREE" in step] in (
        ["USE TEMP B-TREE FOR RIGHT PART OF ORDER BY"],
        ["USE TEMP B-TREE FOR LAST TERM OF ORDER BY"],
    ), steps


@pytest.mark.parametrize("which", FILTERS, ids=str)
def test_every_search_uses_an_index_for_each_of_its_queries(which):
    for name in (*history._rare(which), *history._walks(which), "of_few"):
        steps = [step for step in plan(name) if step.startswith(("SCAN", "SEARCH"))]
        bare = [
            step for step in steps if step.startswith("SCAN") and "json_each" not in step and " j " not in step + " "
        ]
        assert all("waiting_by_due" in step for step in bare), (name, steps)


def test_every_query_of_history_is_one_that_some_search_uses():
    used = {name for which in FILTERS for name in (*history._rare(which), *history._walks(which))}
    assert used == {name for name in queries() if name.startswith(("walk_", "few_"))}
