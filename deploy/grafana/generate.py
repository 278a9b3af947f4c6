#!/usr/bin/env python3
"""Writes dashboards/*.json out of what boards.py and tenant.py say; `--check` only compares.

Grafana's JSON repeats for each panel what all panels have in common. What is particular to one (its
title, what it means, its unit, its queries) stands in those two files; the rest is made here.
"""

import json
import pathlib
import sys

sys.dont_write_bytecode = True

import boards  # noqa: E402
import tenant  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
POSTGRESQL = {"type": "grafana-postgresql-datasource", "uid": "${postgresql}"}
COLUMNS, HEIGHT = 24, 7


def panel(spec, source, place):
    """One panel of a board. `place` is its number and where it stands."""
    number, x, y, width = place
    kind = spec.get("kind", "timeseries")
    made = {
        "id": number,
        "type": kind,
        "title": spec["title"],
        "description": spec["about"],
        "datasource": source,
        "gridPos": {"x": x, "y": y, "w": width, "h": spec.get("height", HEIGHT)},
        "fieldConfig": {"defaults": defaults(spec, kind), "overrides": spec.get("overrides", [])},
        "options": options(spec, kind),
        "targets": [target(query, source, letter, kind)
                    for letter, query in zip("ABCDEFGH", spec["queries"])],
    }
    return made


def defaults(spec, kind):
    made = {"unit": spec.get("unit", "short"), "min": 0}
    if kind == "timeseries":
        made["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 30 if spec.get("stacked") else 5,
            "stacking": {"mode": "normal" if spec.get("stacked") else "none"},
            "showPoints": "never",
        }
    if "bad_above" in spec:
        made["color"] = {"mode": "thresholds" if kind == "stat" else "palette-classic"}
        made["thresholds"] = {"mode": "absolute", "steps": [
            {"color": "green", "value": None}, {"color": "red", "value": spec["bad_above"]}]}
        if kind == "timeseries":
            made["custom"]["thresholdsStyle"] = {"mode": "line"}
    if "bad_below" in spec:
        made["color"] = {"mode": "thresholds"}
        made["thresholds"] = {"mode": "absolute", "steps": [
            {"color": "red", "value": None}, {"color": "green", "value": spec["bad_below"]}]}
    return made


def options(spec, kind):
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "colorMode": "background" if {"bad_above", "bad_below"} & spec.keys() else "value",
                "graphMode": "area", "textMode": "auto"}
    if kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    return {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"}}


def target(query, source, letter, kind):
    made = {"refId": letter, "datasource": source}
    if source is POSTGRESQL:
        return made | {"rawSql": query.strip(), "rawQuery": True, "editorMode": "code",
                       "format": "table" if kind == "table" else "time_series"}
    expression, legend = query
    instant = kind in ("stat", "table")
    return made | {"expr": expression, "legendFormat": legend, "editorMode": "code",
                   "range": not instant, "instant": instant}


def panels(board, source):
    made, x, y, tallest = [], 0, 0, 0
    for spec in board["panels"]:
        if "row" in spec:
            x, y = 0, y + tallest
            made.append({"id": len(made) + 1, "type": "row", "title": spec["row"],
                         "collapsed": False, "panels": [],
                         "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})
            y, tallest = y + 1, 0
            continue
        width = spec.get("width", 8)
        if x + width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        made.append(panel(spec, source, (len(made) + 1, x, y, width)))
        x, tallest = x + width, max(tallest, spec.get("height", HEIGHT))
    return made


def variables(board, source):
    if source is POSTGRESQL:
        return [
            {"name": "postgresql", "label": "PostgreSQL", "type": "datasource",
             "query": "grafana-postgresql-datasource", "refresh": 1},
            {"name": "tenant", "label": "Tenant", "type": "query", "datasource": source,
             "query": tenant.TENANTS.strip(), "refresh": 1, "sort": 1},
        ]
    made = [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
         "refresh": 1},
        choice("namespace", "Namespace", "label_values(recado_build_info, namespace)"),
    ]
    if "role" in board:
        # `dev` is every role at once.
        roles = f'{board["role"]}|dev'
        known = f'label_values(recado_build_info{{namespace=~"$namespace", role=~"{roles}"}}, instance)'
        made.append(choice("instance", "Instance", known))
    return made


def choice(name, label, query):
    """A variable that stands for everything unless somebody chooses; also where there is no such label."""
    return {"name": name, "label": label, "type": "query", "datasource": PROMETHEUS,
            "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1,
            "includeAll": True, "allValue": ".*", "multi": True,
            "current": {"text": "All", "value": "$__all"}}


def dashboard(board):
    source = POSTGRESQL if board["uid"] == tenant.BOARD["uid"] else PROMETHEUS
    return {
        "uid": board["uid"],
        "title": board["title"],
        "description": board["about"],
        "tags": ["recado"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s" if source is PROMETHEUS else "1m",
        "time": {"from": "now-3h" if source is PROMETHEUS else "now-24h", "to": "now"},
        "timezone": "browser",
        "links": [{"title": "Recado", "type": "dashboards", "tags": ["recado"], "asDropdown": True,
                   "includeVars": True, "keepTime": True}],
        "templating": {"list": variables(board, source)},
        "annotations": {"list": [] if source is POSTGRESQL else [{
            "name": "Alerts", "datasource": PROMETHEUS, "enable": True, "iconColor": "red",
            "expr": 'ALERTS{alertname=~"Recado.+", alertstate="firing", namespace=~"$namespace"}',
            "titleFormat": "{{alertname}}", "textFormat": "{{severity}} {{role}}", "step": "60s"}]},
        "panels": panels(board, source),
    }


def main():
    wanted = {f"{board['uid']}.json": json.dumps(dashboard(board), indent=1, ensure_ascii=False) + "\n"
              for board in [*boards.BOARDS, tenant.BOARD]}
    directory = HERE / "dashboards"
    if "--check" in sys.argv[1:]:
        there = {path.name: path.read_text() for path in directory.glob("*.json")}
        stale = sorted(name for name in wanted.keys() | there.keys()
                       if wanted.get(name) != there.get(name))
        if stale:
            sys.exit(f"deploy/grafana/generate.py has not been run: {', '.join(stale)}")
        return
    directory.mkdir(exist_ok=True)
    for name, text in wanted.items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    main()
