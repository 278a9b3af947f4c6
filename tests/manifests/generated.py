"""What is made of other files, because kustomize can neither wrap nor list them: the alerts as a
PrometheusRule, and the list of dashboards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ALERTS = "deploy/alerts/recado.yaml"
RULES = "k8s/components/monitoring/prometheus-rules.yaml"
DASHBOARDS = "deploy/grafana"

COMMAND = "make manifests-write"


class Dumper(yaml.SafeDumper):
    """Expressions and descriptions of several lines stay readable."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


Dumper.add_representer(str, _text)


def files(root: Path) -> dict[str, str]:
    """What each generated file has to say."""
    return {RULES: _rules(root), f"{DASHBOARDS}/kustomization.yaml": _dashboards(root)}


def stale(root: Path) -> list[str]:
    texts = files(root).items()
    return [
        f"{path} is not what its source says now: {COMMAND}"
        for path, text in texts
        if not (root / path).is_file() or (root / path).read_text() != text
    ]


def write(root: Path) -> None:
    for path, text in files(root).items():
        (root / path).write_text(text)


def _rules(root: Path) -> str:
    rules = yaml.safe_load((root / ALERTS).read_text())
    head = f"# Made of {ALERTS} by `{COMMAND}`: change it there.\n"
    return head + _dump(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "recado"},
            "spec": {"groups": rules["groups"]},
        }
    )


def _dashboards(root: Path) -> str:
    head = (
        "# Each dashboard as a ConfigMap that Grafana's sidecar finds by its label.\n"
        f"# Made by `{COMMAND}`.\n"
    )
    component: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "generatorOptions": {
            # Grafana goes by the identity inside.
            "disableNameSuffixHash": True,
            "labels": {"grafana_dashboard": "1"},
        },
    }
    names = sorted(path.name for path in (root / DASHBOARDS / "dashboards").glob("*.json"))
    if names:
        component["configMapGenerator"] = [
            {"name": f"dashboard-{name.removesuffix('.json')}", "files": [f"dashboards/{name}"]}
            for name in names
        ]
    return head + _dump(component)


def _dump(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=Dumper, sort_keys=False, width=110, allow_unicode=True)
