"""An address erased in a real cluster while one node is away: afterwards no row on any node's disk names it."""

import json
import sqlite3

import pytest

from tests.acceptance.test_copies import protected, three_nodes
from tests.acceptance.test_queues_everywhere import BRISK, hand_in, steps, traced
from tests.support.relay_cluster import NAMES
from tests.support.world import until

ANN = "ann.gone@example.com"


def rows_naming(cluster) -> dict[str, list[str]]:
    """Where the address stands, in the databases of each node."""
    found: dict[str, list[str]] = {}
    for name, node in cluster.nodes.items():
        found[name] = []
        for path in [*node.home.glob("spool/**/*.sqlite3"), *node.home.glob("spool/*.db")]:
            database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in database.execute(f"SELECT * FROM {table}"):
                    if "ann.gone" in repr(row).lower():
                        found[name].append(f"{path.name} {table}")
            database.close()
    return found


@pytest.mark.long
@pytest.mark.timeout(300)
def test_no_row_on_any_node_names_an_address_that_was_erased_while_one_was_away(tmp_path):
    asked, away, third = NAMES
    with three_nodes(tmp_path, timing=BRISK) as (cluster, _):
        nodes = cluster.nodes
        until(lambda: all(protected(cluster, name) for name in NAMES), 60)
        ids = [hand_in(cluster, name, ANN) for name in NAMES for _ in range(3)]
        for queue_id in ids:
            until(lambda queue_id=queue_id: steps(traced(nodes[asked], queue_id))[-1:] == ["delivered"], 60)
        page = nodes[third].get("/v1/history", recipient=ANN, limit=4)
        assert len(page["messages"]) == 4
        assert len(nodes[third].get("/v1/history", recipient=ANN, before=page["next"])["messages"]) == 5
        until(lambda: all(rows_naming(cluster).values()), 60)
        nodes[away].kill()

        said = nodes[asked].ctl("erase", ANN, "--reason", "asked for it", "--wait", "0s", check=False)
        assert (said.returncode, f"not asked: {away}" in said.stderr) == (1, True), said
        nodes[away].start(wait=False)
        until(lambda: json.loads(nodes[asked].ctl("erase", "--json").stdout)[0]["done_ms"], 200, 1.0)

        assert rows_naming(cluster) == {name: [] for name in NAMES}
        found = nodes[third].get("/v1/history", recipient=ANN)
        assert (found["messages"], found["missing"]) == ([], {})
        for name in NAMES:
            audit = "".join(path.read_text() for path in nodes[name].home.glob("spool/audit/*.jsonl"))
            assert "erased" in audit
            assert "ann.gone" not in audit
