"""Whether the boards of Grafana find what they ask: the pods' metrics once, and PostgreSQL."""

from __future__ import annotations

from typing import Any

import tenant_view
import yaml
from rendered import Rendered, Resource, matches, title
from report import Report
from repository import Repository

# Where Grafana runs, and under which label, in kube-prometheus-stack.
GRAFANA: dict[str, Any] = {
    "namespace": {"kubernetes.io/metadata.name": "monitoring"},
    "pod": {"app.kubernetes.io/name": "grafana"},
}
DATA_SOURCES = "deploy/grafana/provisioning/datasources/recado.yaml"


def check(report: Report) -> None:
    """What the tenants' board asks, against a real schema."""
    with tenant_view.private_database() as database:
        found = list(tenant_view.complaints(database))
    asked = len(list(tenant_view.queries()))
    report.add("queries of the tenants' board run, by indexes", "PostgreSQL", asked, found)


def scraped_once(rendered: Rendered, _: Repository) -> list[str]:
    """Prometheus finds a pod in one way, and its operator all that is for it."""
    complaints = []
    monitors = rendered.of("PodMonitor")
    for pod in (it for it in rendered.pods() if it.component and it.kind == "Deployment"):
        ways = sum(matches(it["spec"]["selector"], pod.labels) for it in monitors)
        ways += pod.annotations.get("prometheus.io/scrape") == "true"
        if ways != 1:
            complaints.append(f"{pod.component} is scraped in {ways} ways")
    for resource in rendered.of("PodMonitor", "PrometheusRule"):
        if "release" not in resource["metadata"].get("labels", {}):
            complaints.append(f"{title(resource)} has no label `release`: nobody selects it")
    return complaints


def data_sources(rendered: Rendered, repository: Repository) -> list[str]:
    """Data sources have the names that boards use, and Grafana reaches their servers."""
    complaints = []
    known = {it["uid"]: it["type"] for it in repository.yaml(DATA_SOURCES)["datasources"]}
    for config in rendered.of("ConfigMap"):
        if config["metadata"].get("labels", {}).get("grafana_datasource") != "1":
            continue
        for text in config["data"].values():
            for source in yaml.safe_load(text)["datasources"]:
                if known.get(source["uid"]) != source["type"]:
                    complaints.append(f"no board asks {source['uid']} ({source['type']})")
                complaints += _unreached(rendered, source)
    return complaints


def _unreached(rendered: Rendered, source: Resource) -> list[str]:
    host, _, port = source["url"].rpartition(":")
    cluster, _, service = host.partition(".")[0].rpartition("-")
    role = "primary" if service == "rw" else "replica"
    if not rendered.one("Cluster", cluster):
        return [f"{source['uid']}: there is no server {host}"]
    if any(
        matches(
            policy["spec"]["podSelector"],
            {"cnpg.io/cluster": cluster, "cnpg.io/instanceRole": role},
        )
        and _lets_grafana_in(policy, int(port))
        for policy in rendered.of("NetworkPolicy")
    ):
        return []
    return [f"{source['uid']}: Grafana does not reach {host}"]


def _lets_grafana_in(policy: Resource, port: int) -> bool:
    return any(
        matches(peer.get("namespaceSelector"), GRAFANA["namespace"])
        and matches(peer.get("podSelector"), GRAFANA["pod"])
        for rule in policy["spec"].get("ingress", [])
        if port in [it["port"] for it in rule["ports"]]
        for peer in rule["from"]
        if "namespaceSelector" in peer
    )
