"""Turns a board into the JSON of Grafana's classic dashboards. The package @grafana/schema defines the fields."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dashboards.model import Board, Kind, Panel, Query

Json = Mapping[str, Any]

VERSION = 42
"""Version of the dashboard schema."""

SOURCE = {"type": "prometheus", "uid": "prometheus"}
"""The data source, named as in grafana/provisioning/datasources."""

COLUMNS = 24


def text(board: Board) -> str:
    return json.dumps(dashboard(board), indent=1, ensure_ascii=False) + "\n"


def dashboard(board: Board) -> Json:
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.about,
        "tags": ["reconciler"],
        "timezone": "browser",
        "editable": False,
        "graphTooltip": 1,
        "schemaVersion": VERSION,
        "version": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_STACK] if board.by_stack else []},
        "annotations": {"list": []},
        "links": [_LINKS],
        "panels": list(_placed(board)),
    }


_STACK = {
    "name": "stack",
    "label": "Stack",
    "type": "query",
    "datasource": SOURCE,
    "query": {"query": "label_values(reconciler_service_health, stack)", "refId": "stack"},
    "refresh": 2,
    "multi": True,
    "includeAll": True,
    "allValue": ".*",
    "current": {"text": ["All"], "value": ["$__all"]},
}

_LINKS = {
    "title": "Dashboards",
    "type": "dashboards",
    "tags": ["reconciler"],
    "asDropdown": True,
    "icon": "external link",
    "includeVars": False,
    "keepTime": True,
    "targetBlank": False,
    "tooltip": "",
    "url": "",
}


def _placed(board: Board) -> Iterator[Json]:
    """Place panels from left to right, and in a new line when a line is full."""
    id = x = y = tallest = 0
    for row in board.rows:
        id, y, x = id + 1, y + tallest, 0
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
        yield {"id": id, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        y, tallest = y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            id += 1
            yield _panel(panel, id, {"h": panel.height, "w": panel.width, "x": x, "y": y})
            x, tallest = x + panel.width, max(tallest, panel.height)


def _panel(panel: Panel, id: int, place: Json) -> Json:
    targets = [_target(query, panel.kind, chr(ord("A") + n)) for n, query in enumerate(panel.queries)]
    return {
        "id": id,
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel.kind),
    }


def _target(query: Query, kind: Kind, id: str) -> Json:
    """The query of a panel. Bars show one moment, all other panels a period."""
    now = kind is Kind.BARS
    return {
        "refId": id, "datasource": SOURCE, "expr": query.expr, "legendFormat": query.legend or "__auto",
        "instant": now, "range": not now, "editorMode": "code",
    }  # fmt: skip


def _defaults(panel: Panel) -> Json:
    found: dict[str, Any] = {"unit": panel.unit.value, "thresholds": _thresholds(panel)}
    if panel.kind is not Kind.LINES:
        found["color"] = {"mode": "thresholds"}
    if panel.words:
        words = {str(value): {"text": word, "index": n} for n, (value, word) in enumerate(panel.words.items())}
        found["mappings"] = [{"type": "value", "options": words}]
    if panel.kind in (Kind.LINES, Kind.BARS):
        found["min"] = 0
    if panel.top is not None:
        found["max"] = panel.top
    if panel.kind is Kind.LINES:
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        found["custom"] = {"lineWidth": 1, "fillOpacity": 25 if panel.stacked else 5, "stacking": stacking}
    elif panel.kind is Kind.STATES:
        found["custom"] = {"lineWidth": 0, "fillOpacity": 80}
    return found


def _thresholds(panel: Panel) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.good is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.good}]
    elif panel.bad is not None:
        steps.append({"color": "red", "value": panel.bad})
    return {"mode": "absolute", "steps": steps}


def _options(kind: Kind) -> Json:
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if kind is Kind.LINES:
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind is Kind.STATES:
        return {
            "legend": legend, "tooltip": {"mode": "single", "sort": "none"}, "mergeValues": True,
            "showValue": "auto", "alignValue": "left", "rowHeight": 0.8,
        }  # fmt: skip
    if kind is Kind.BARS:
        return {
            "reduceOptions": reduced, "orientation": "horizontal", "displayMode": "basic", "valueMode": "color",
            "namePlacement": "auto", "showUnfilled": True, "sizing": "auto", "minVizWidth": 8, "minVizHeight": 16,
            "maxVizHeight": 300, "legend": {**legend, "showLegend": False},
        }  # fmt: skip
    return {
        "reduceOptions": reduced, "orientation": "auto", "colorMode": "value", "graphMode": "none",
        "justifyMode": "auto", "textMode": "auto", "wideLayout": True, "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }  # fmt: skip
