"""What watches Recado: alerts, their tests, Prometheus, Alertmanager, dashboards, the collector."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from rendered import Rendered
from report import Report
from repository import Repository

from checks import expressions

ALERTS = "deploy/alerts/recado.yaml"
SOURCES = (
    "deploy/grafana/provisioning/datasources/recado.yaml",
    "deploy/compose/grafana-jaeger.yaml",
)
# A ConfigMap holds a MiB, and a bit of that is not ours.
LARGEST_DASHBOARD = 1_000_000


def begin_tests(root: Path, pool: Executor) -> list[Future[list[str]]]:
    """Each file of tests in a process of its own: promtool takes seconds for one, and one core."""
    tests = sorted((root / "deploy/alerts/tests").glob("*.yaml"))
    return [pool.submit(_run, root, "promtool", "test", "rules", test) for test in tests]


def check(
    every: list[Rendered], repository: Repository, tests: list[Future[list[str]]], report: Report
) -> None:
    root = repository.root
    alerts = sorted((root / "deploy/alerts").glob("*.yaml"))
    wrong = _run(root, "promtool", "check", "rules", *alerts)
    report.add("alerts", "promtool check rules", len(alerts), wrong)
    wrong = [complaint for test in tests for complaint in test.result()]
    report.add("tests of alerts", "promtool test rules", len(tests), wrong)
    rules = repository.yaml(ALERTS)
    named = {
        rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule
    }
    report.add(
        "alerts have a runbook and a test", "our own", len(named), alerts_without(rules, repository)
    )
    configs = sorted((root / "deploy/prometheus").glob("*.yaml"))
    report.add(
        "Prometheus of compose",
        "promtool check config",
        len(configs),
        _run(root, "promtool", "check", "config", *configs),
    )
    configs = sorted((root / "deploy/alertmanager").glob("*.yaml"))
    report.add(
        "Alertmanager of compose",
        "amtool check-config",
        len(configs),
        _run(root, "amtool", "check-config", *configs),
    )
    collector = repository.yaml("deploy/otel-collector/collector.yaml")
    report.add(
        "the collector's pipelines",
        "our own",
        len(collector["service"]["pipelines"]),
        pipelines(collector),
    )
    _expressions(every, rules, repository, report)


def _expressions(every: list[Rendered], rules: Any, repository: Repository, report: Report) -> None:
    files = sorted((repository.root / "deploy/grafana/dashboards").glob("*.json"))
    broken, dashboards = [], {}
    for path in files:
        try:
            dashboards[path.name] = expressions.load(path)
        except json.JSONDecodeError as error:
            broken.append(f"{path.name}: {error}")
    sources = {it["uid"] for path in SOURCES for it in repository.yaml(path)["datasources"]}
    report.add("dashboards", "our own", len(files), broken + of_dashboards(dashboards, sources))
    stale = _run(repository.root, sys.executable, "deploy/grafana/generate.py", "--check")
    report.add("dashboards are what their source says", "generate.py --check", len(files), stale)
    found = expressions.of_rules(rules, ALERTS)
    found += [it for rendered in every for it in expressions.of_scalers(rendered)]
    found += [it for name, one in dashboards.items() for it in expressions.of_dashboard(one, name)]
    report.add(
        "expressions parse",
        "promtool check rules",
        len(found),
        expressions.that_do_not_parse(found),
    )
    recorded = {
        rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule
    }
    try:
        unknown = expressions.of_unknown_metrics(found, repository.metrics | recorded)
    except FileNotFoundError:
        unknown = ["docs/metrics.md is not there, which lists them"]
    report.add("expressions name metrics that are documented", "our own", len(found), unknown)


def alerts_without(rules: Any, repository: Repository) -> list[str]:
    """Each alert says what to do, on a page that is there, and has been made to fire in a test."""
    tests = sorted((repository.root / "deploy/alerts/tests").glob("*.yaml"))
    tested = "\n".join(path.read_text() for path in tests)
    complaints = []
    for rule in (rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule):
        name, notes = rule["alert"], rule.get("annotations", {})
        for wanted in ("summary", "description", "runbook_url"):
            if not notes.get(wanted):
                complaints.append(f"{name} has no {wanted}")
        if rule.get("labels", {}).get("severity") not in ("page", "ticket"):
            complaints.append(f"{name} is neither a page nor a ticket")
        page = f"docs/runbook/{name}.md"
        if (
            not notes.get("runbook_url", "").endswith(page)
            or not (repository.root / page).is_file()
        ):
            complaints.append(f"{name} has no page: {page}")
        if name not in tested:
            complaints.append(f"{name} is in no test")
    return sorted(set(complaints))


def of_dashboards(dashboards: dict[str, Any], sources: set[str]) -> list[str]:
    """What Grafana would take, and quietly show otherwise than meant."""
    complaints = []
    for field in ("uid", "title"):
        shared = Counter(it.get(field) for it in dashboards.values())
        for name, it in dashboards.items():
            if not it.get(field) or shared[it[field]] > 1:
                complaints.append(f"{name}: the {field} {it.get(field)!r} is not its own")
    for name, it in dashboards.items():
        if it.get("id") is not None:
            complaints.append(f"{name} has the id of some Grafana")
        if len(json.dumps(it)) > LARGEST_DASHBOARD:
            complaints.append(f"{name} is too large for a ConfigMap")
        panels = expressions.panels(it)
        twice = [
            number
            for number, times in Counter(panel.get("id") for panel in panels).items()
            if times > 1
        ]
        if twice:
            complaints.append(f"{name}: several panels have the ids {twice}")
        variables = {variable["name"] for variable in it.get("templating", {}).get("list", [])}
        for uid in sorted(_sources(it)):
            known = (
                uid.strip("${}") in variables
                if uid.startswith("$")
                else uid in sources | {"-- Grafana --", "grafana"}
            )
            if not known:
                complaints.append(f"{name}: there is no data source {uid}")
    return complaints


def _sources(node: Any) -> set[str]:
    if isinstance(node, list):
        return {uid for item in node for uid in _sources(item)}
    if not isinstance(node, dict):
        return set()
    own = node.get("datasource")
    uids = {own["uid"]} if isinstance(own, dict) and "uid" in own else set()
    return uids | {uid for value in node.values() for uid in _sources(value)}


def pipelines(collector: Any) -> list[str]:
    """No tool at hand reads its configuration: what is used is defined, and the other way round."""
    complaints = []
    for kind in ("receivers", "processors", "exporters"):
        used = {
            it
            for pipeline in collector["service"]["pipelines"].values()
            for it in pipeline.get(kind, [])
        }
        complaints += [
            f"there is nothing called {it} in {kind}"
            for it in sorted(used - set(collector.get(kind, {})))
        ]
        complaints += [f"{it} is never used" for it in sorted(set(collector.get(kind, {})) - used)]
    return complaints


def _run(root: Path, *command: str | Path) -> list[str]:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]
