"""PromQL wherever it stands: in alerts, in dashboards, in what scales. It has to parse, and to ask
for metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rendered import Rendered, title

# Of Prometheus itself, and what its client library says of every process.
OTHERS = {"up", "ALERTS", "ALERTS_FOR_STATE"} | {
    f"process_{it}"
    for it in (
        "cpu_seconds_total",
        "open_fds",
        "max_fds",
        "resident_memory_bytes",
        "virtual_memory_bytes",
        "start_time_seconds",
        "threads",
    )
}
# `{{ … }}` of alerts is no expression; variables of Grafana become something of their place.
IN_BRACKETS = re.compile(r"\[\s*\$\{?\w+\}?")
VARIABLE = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)|\[\[(\w+)\]\]")
DURATIONS = {"__rate_interval", "__interval", "__range"}


@dataclass(frozen=True)
class Expression:
    """Where it stands, and what it says."""

    place: str
    text: str


def of_rules(rules: Any, path: str) -> list[Expression]:
    every = [rule for group in rules["groups"] for rule in group["rules"]]
    return [
        Expression(f"{path}: {rule.get('alert') or rule.get('record')}", rule["expr"])
        for rule in every
    ]


def of_scalers(rendered: Rendered) -> list[Expression]:
    return [
        Expression(f"{rendered.name}: {title(scaler)}", trigger["metadata"]["query"])
        for scaler in rendered.of("ScaledObject")
        for trigger in scaler["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    ]


def of_dashboard(dashboard: Any, name: str) -> list[Expression]:
    found = []
    for panel in panels(dashboard):
        texts = [target["expr"] for target in panel.get("targets", []) if target.get("expr")]
        found += [
            Expression(f"{name}: {panel.get('title', panel.get('id'))}", plain(text))
            for text in texts
        ]
    for annotation in dashboard.get("annotations", {}).get("list", []):
        if annotation.get("expr"):
            found.append(
                Expression(f"{name}: annotation {annotation['name']}", plain(annotation["expr"]))
            )
    for variable in dashboard.get("templating", {}).get("list", []):
        query = variable.get("query")
        text = query.get("query", "") if isinstance(query, dict) else query or ""
        asked = re.fullmatch(
            r"(?:label_values|query_result)\((.*?)(?:,\s*\w+)?\)", text.strip(), re.S
        )
        if variable.get("type") == "query" and asked:
            found.append(Expression(f"{name}: ${variable['name']}", plain(asked[1])))
    return found


def panels(dashboard: Any) -> list[Any]:
    """With those in rows that are folded up."""
    own = dashboard.get("panels", [])
    return own + [inner for panel in own for inner in panels(panel)]


def plain(text: str) -> str:
    """Without variables of Grafana."""
    text = IN_BRACKETS.sub("[5m", text)
    return VARIABLE.sub(lambda it: "5m" if (it[1] or it[2] or it[3]) in DURATIONS else "1", text)


def that_do_not_parse(expressions: list[Expression]) -> list[str]:
    """By promtool, as rules of a file of their own."""
    rules = [{"record": f"expression:{n}", "expr": it.text} for n, it in enumerate(expressions)]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({"groups": [{"name": "expressions", "rules": rules}]}, file)
        file.flush()
        done = subprocess.run(
            ["promtool", "check", "rules", file.name], capture_output=True, text=True
        )
    if done.returncode == 0:
        return []
    complaints = []
    for line in (done.stdout + done.stderr).splitlines():
        number = re.search(r"expression:(\d+)", line)
        if number and "could not parse" in line:
            it = expressions[int(number[1])]
            complaints.append(
                f"{it.place}: {line.partition('could not parse expression:')[2].strip()}\n{it.text}"
            )
    return complaints or [done.stdout + done.stderr]


def of_unknown_metrics(expressions: list[Expression], known: set[str]) -> list[str]:
    complaints = []
    for it in expressions:
        bare = re.sub(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`', '""', it.text)
        names = set(re.findall(r"\b((?:recado|process)[_:][\w:]*)", bare))
        names |= set(re.findall(r"([a-zA-Z_:][\w:]*)\s*[{\[]", bare))
        complaints += [
            f"{it.place}: there is no metric {name}" for name in sorted(names - known - OTHERS)
        ]
    return complaints


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
