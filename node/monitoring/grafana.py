"""Grafana dashboards made from ``boards.yaml``. Pure, but for reading that file out of the package."""

from importlib.resources import files
from typing import Any, Final

import msgspec
import yaml

HERE: Final = 'job=~"$job",instance=~"$instance"'
CLUSTER: Final = 'job=~"$job"'
SCHEMA_VERSION: Final = 39
"""Of Grafana 10 and 11; later ones take it and move it on."""
COLUMNS: Final = 24
HEIGHTS: Final = {"stat": 4, "state-timeline": 7, "timeseries": 8}


class Panel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One panel; ``queries`` by what their lines are called."""

    title: str
    unit: str
    queries: dict[str, str]
    about: str = ""
    kind: str = "timeseries"
    width: int = 8


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Panels under one heading."""

    title: str
    panels: list[Panel]


class Board(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One dashboard."""

    uid: str
    title: str
    rows: list[Row]


def boards() -> list[Board]:
    """Read the dashboards shipped."""
    text = files(__package__).joinpath("boards.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), list[Board])


def filled(query: str) -> str:
    """Say which processes a query means."""
    return query.replace("$HERE", HERE).replace("$CLUSTER", CLUSTER)


def dashboard(board: Board) -> dict[str, Any]:
    """Make the JSON that Grafana imports; its data source is asked for at the import."""
    return {
        "uid": board.uid,
        "title": board.title,
        "tags": ["m365-relay"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": _panels(board),
    }


def _variables() -> list[dict[str, Any]]:
    """The data source, the cluster (a scrape job) and its processes."""
    wide = {
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
    }
    source = {"datasource": _SOURCE, "type": "query"}
    return [
        {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {"name": "job", "label": "Cluster", "query": 'label_values({__name__=~"relay_.*"}, job)', **wide, **source},
        {
            "name": "instance",
            "label": "Process",
            "query": f'label_values({{__name__=~"relay_.*",{CLUSTER}}}, instance)',
            **wide,
            **source,
        },
    ]


_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


def _panels(board: Board) -> list[dict[str, Any]]:
    """Lay rows below each other and their panels side by side."""
    found: list[dict[str, Any]] = []
    top = 0
    for row in board.rows:
        found.append({"type": "row", "title": row.title, "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1}})
        top, left, height = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left, height = top + height, 0, 0
            place = {"x": left, "y": top, "w": panel.width, "h": HEIGHTS[panel.kind]}
            found.append(_panel(panel, place))
            left, height = left + panel.width, max(height, HEIGHTS[panel.kind])
        top += height
    return [{"id": number, **panel} for number, panel in enumerate(found, 1)]


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": filled(query), "legendFormat": legend}
        for at, (legend, query) in enumerate(panel.queries.items())
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {},
    }
