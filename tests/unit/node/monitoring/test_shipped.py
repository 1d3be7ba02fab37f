"""Rules and dashboards name metrics that exist, commands that exist, and places on the screen that are free."""

import json
import re
import shlex
from importlib.resources import files

import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from coordinator.daemon.metrics import exposition
from node.__main__ import app
from node.monitoring.grafana import COLUMNS, HEIGHTS, boards, dashboard
from node.telemetry.names import CATALOGUE, Kind
from tests.support.status_page import status_page

SHIPPED = files("node.monitoring")
RULES = [
    rule for group in yaml.safe_load(SHIPPED.joinpath("alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
QUERIES = [
    query for board in boards() for row in board.rows for panel in row.panels for query in panel.queries.values()
]
WORD = re.compile(r"relay_[a-z_]+")
COMMAND = re.compile(r"relayctl ((?:[a-z0-9-]+ ?)+)((?:--[a-z-]+ ?)?)")


def reported() -> set[str]:
    """Every name that Prometheus finds at a node or a coordinator."""
    names = set()
    for metric in CATALOGUE:
        ends = {Kind.COUNTER: ("_total",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}[
            metric.kind
        ]
        names |= {metric.name + end for end in ends}
    return names | {
        line.split()[2] for line in exposition(status_page(), alarms=0).splitlines() if line.startswith("# TYPE")
    }


@pytest.mark.parametrize("text", [rule["expr"] for rule in RULES] + QUERIES)
def test_metrics_named_are_reported(text):
    assert set(WORD.findall(text)) <= reported()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_what_and_what_to_do(rule):
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "action"}
    for words, option in COMMAND.findall(rule["annotations"]["action"]):
        command, rest = typer.main.get_command(app), shlex.split(words)
        while rest and hasattr(command, "commands") and rest[0] in command.commands:
            command = command.commands[rest.pop(0)]
        assert not hasattr(command, "commands") or not rest, f"relayctl {words}: no such command"
        known = {name for each in command.params for name in each.opts}
        assert option.strip() in {"", *known}, f"relayctl {words}{option}: no such option"


def test_alerts_have_names_of_their_own():
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("board", boards(), ids=lambda board: board.uid)
def test_panels_lie_side_by_side_and_none_on_another(board):
    taken = set()
    for panel in dashboard(board)["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= COLUMNS
        taken |= cells
    assert {panel.kind for row in board.rows for panel in row.panels} <= set(HEIGHTS)


def test_dashboards_ask_only_for_the_chosen_cluster():
    assert [query for query in QUERIES if "{$HERE" not in query and "{$CLUSTER" not in query] == []


def test_written_once_and_again_only_if_told(tmp_path):
    def write(*more):
        return CliRunner().invoke(app, ["monitoring", "write", str(tmp_path / "out"), *more])

    first = write()
    assert first.exit_code == 0
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert written == sorted(
        [
            "prometheus/m365-relay.rules.yaml",
            "otelcol/m365-relay.yaml",
            *(f"grafana/{each.uid}.json" for each in boards()),
        ]
    )
    for board in boards():
        assert json.loads((tmp_path / "out" / "grafana" / f"{board.uid}.json").read_text()) == dashboard(board)
    (tmp_path / "out" / "otelcol" / "m365-relay.yaml").write_text("mine")
    again = write()
    assert again.exit_code == 2
    assert "there already" in " ".join(again.stderr.split())
    assert (tmp_path / "out" / "otelcol" / "m365-relay.yaml").read_text() == "mine"
    assert write("--replace").exit_code == 0
    assert (tmp_path / "out" / "otelcol" / "m365-relay.yaml").read_text() == SHIPPED.joinpath(
        "collector.yaml"
    ).read_text()
