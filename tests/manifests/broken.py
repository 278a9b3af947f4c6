"""Shows each check something that it must not let pass; one that does has failed itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checks import (
    boards,
    containers,
    expressions,
    network,
    pods,
    routes,
    schemas,
    watching,
    wiring,
)
from rendered import Rendered, Resource
from repository import Repository

Break = Callable[[Rendered], Any]


def unseen(every: list[Rendered], repository: Repository, tools: Path) -> tuple[int, list[str]]:
    """How many breaks were tried, and those that nobody noticed."""
    production = next(it for it in every if it.name.endswith("production"))
    complaints = []
    for policy, name, change in BREAKS:
        harmed = copy.deepcopy(production)
        change(harmed)
        if not policy(harmed, repository):
            complaints.append(f"{policy.__module__}.{policy.__name__} let pass: {name}")
    others = _others(production, repository, tools)
    complaints += [f"nobody noticed: {name}" for name, found in others.items() if not found]
    return len(BREAKS) + len(others), complaints


def _others(production: Rendered, repository: Repository, tools: Path) -> dict[str, list[str]]:
    """Checks that look at something else than what was rendered."""
    compose = repository.yaml(containers.COMPOSE)
    compose["services"]["buffer"]["environment"]["RECADO_" + "NONE"] = "1"
    scaler = _of(production, "ScaledObject")
    cluster, broker = _of(production, "Cluster"), _of(production, "RabbitmqCluster")
    broker["spec"]["rabbitmq"]["unknown"] = 1
    service = _of(production, "Service")
    service["spec"]["unknown"] = 1
    unknown = copy.deepcopy(scaler)
    unknown["spec"]["triggers"][0]["unknown"] = 1
    cluster["spec"]["replicas"] = 3
    dockerfile = repository.text(containers.DOCKERFILE)
    panel = {"id": 1, "title": "a", "datasource": {"uid": "none"}, "targets": [{"expr": "sum("}]}
    dashboard = {"uid": "a", "title": "a", "panels": [panel, panel]}
    bad = expressions.of_dashboard(dashboard, "a.json")
    return {
        "a field that Kubernetes does not know": schemas.by_kubernetes(service),
        "a field that KEDA does not know": schemas.by_types([unknown], tools),
        "a field that CloudNativePG does not know": schemas.by_our_schema(cluster),
        "a field that RabbitMQ's operator does not know": schemas.by_our_schema(broker),
        "a variable in compose that no role knows": containers.services(compose, repository),
        "a user that is a name": containers.image(
            dockerfile.replace("USER 65532:65532", "USER nonroot")
        ),
        "an expression without an end": expressions.that_do_not_parse(bad),
        "a metric that is not documented": expressions.of_unknown_metrics(
            [
                expressions.Expression("a", "sum(recado_none_total)"),
                expressions.Expression("b", 'none{a="b"}'),
            ],
            set(),
        ),
        "two dashboards of one name": watching.of_dashboards(
            {"a.json": {"uid": "a", "title": "a"}} | {"b.json": {"uid": "a", "title": "b"}}, set()
        ),
        "a data source that is not there": watching.of_dashboards(
            {"a.json": dashboard}, {"prometheus"}
        ),
        "an alert without a page": watching.alerts_without(
            {"groups": [{"rules": [{"alert": "None", "expr": "1"}]}]}, repository
        ),
        "an exporter that is not there": watching.pipelines(
            {"service": {"pipelines": {"traces": {"exporters": ["a"]}}}}
        ),
    }


def _of(rendered: Rendered, kind: str) -> Resource:
    return copy.deepcopy(rendered.of(kind)[0])


def _pod(rendered: Rendered, role: str) -> Resource:
    return rendered.one("Deployment", f"recado-{role}")["spec"]["template"]["spec"]  # type: ignore[index]


def _container(rendered: Rendered, role: str) -> Resource:
    return _pod(rendered, role)["containers"][0]


def _spec(rendered: Rendered, kind: str, name: str) -> Resource:
    return rendered.one(kind, name)["spec"]  # type: ignore[index]


def _remove(rendered: Rendered, kind: str, name: str) -> None:
    rendered.resources = [
        it for it in rendered.resources if (it["kind"], it["metadata"]["name"]) != (kind, name)
    ]


def _unknown_variable(rendered: Rendered) -> None:
    rendered.one("ConfigMap", "recado")["data"]["RECADO_" + "NONE"] = "1"  # type: ignore[index]


def _route(rendered: Rendered) -> None:
    del _spec(rendered, "HTTPRoute", "recado-webhooks")["rules"][0]["matches"][1]


def _open(rendered: Rendered) -> None:
    block = _spec(rendered, "NetworkPolicy", "recado-internet")["egress"][0]["to"][0]["ipBlock"]
    block["except"].remove("169.254.0.0/16")


def _rename_data_source(rendered: Rendered) -> None:
    data = rendered.one("ConfigMap", "grafana-recado-postgresql")["data"]  # type: ignore[index]
    for name, text in data.items():
        data[name] = text.replace("uid: recado-postgresql", "uid: postgresql")


def _to_everybody(rendered: Rendered) -> None:
    del _spec(rendered, "NetworkPolicy", "recado-redis")["ingress"][0]["from"][0]["podSelector"][
        "matchExpressions"
    ]
    del _spec(rendered, "NetworkPolicy", "recado-to-redis")["podSelector"]["matchExpressions"]


def _select(policy: Resource, value: str) -> None:
    policy["podSelector"]["matchLabels"]["app.kubernetes.io/name"] = value


BREAKS: tuple[tuple[Callable[[Rendered, Repository], list[str]], str, Break], ...] = (
    (pods.restricted, "root", lambda it: _pod(it, "buffer")["securityContext"].pop("runAsNonRoot")),
    (
        pods.restricted,
        "a root that can be written",
        lambda it: _container(it, "ingress")["securityContext"].pop("readOnlyRootFilesystem"),
    ),
    (
        pods.restricted,
        "capabilities",
        lambda it: _container(it, "ingress")["securityContext"].pop("capabilities"),
    ),
    (
        pods.restricted,
        "a namespace without a level",
        lambda it: it.of("Namespace")[0]["metadata"].pop("labels"),
    ),
    (pods.probes, "no startup probe", lambda it: _container(it, "sources").pop("startupProbe")),
    (
        pods.probes,
        "liveness that depends on others",
        lambda it: _container(it, "sources")["livenessProbe"]["httpGet"].update(
            path="/health/ready"
        ),
    ),
    (
        pods.resources,
        "no bound of memory",
        lambda it: _container(it, "sources")["resources"].pop("limits"),
    ),
    (
        pods.grace,
        "too little time",
        lambda it: _pod(it, "agent-runner").update(terminationGracePeriodSeconds=640),
    ),
    (pods.grace, "no preStop", lambda it: _container(it, "ingress").pop("lifecycle")),
    (
        pods.rollout,
        "pods taken away",
        lambda it: _spec(it, "Deployment", "recado-buffer")["strategy"]["rollingUpdate"].update(
            maxUnavailable=1
        ),
    ),
    (pods.rollout, "no spread", lambda it: _pod(it, "buffer")["topologySpreadConstraints"].pop()),
    (
        pods.connections,
        "more pods than connections",
        lambda it: _spec(it, "ScaledObject", "recado-agent-runner").update(maxReplicaCount=100),
    ),
    (
        wiring.roles,
        "a role that nobody runs",
        lambda it: _remove(it, "Deployment", "recado-sources"),
    ),
    (
        wiring.roles,
        "no disruption budget",
        lambda it: _remove(it, "PodDisruptionBudget", "recado-sources"),
    ),
    (
        wiring.roles,
        "no migration",
        lambda it: setattr(it, "resources", [one for one in it.resources if one["kind"] != "Job"]),
    ),
    (
        wiring.roles,
        "a migration that no policy lets out",
        lambda it: it.of("Job")[0]["spec"]["template"]["metadata"]["labels"].pop(
            "app.kubernetes.io/name"
        ),
    ),
    (
        network.servers,
        "a migration that may use RabbitMQ",
        lambda it: _spec(it, "NetworkPolicy", "recado-rabbitmq")["ingress"][0]["from"][0][
            "podSelector"
        ].pop("matchExpressions"),
    ),
    (
        wiring.release,
        "another image",
        lambda it: _container(it, "buffer").update(image="recado:0.0.9"),
    ),
    (
        wiring.release,
        "a Job of another release",
        lambda it: it.of("Job")[0]["metadata"].update(name="recado-migrate"),
    ),
    (
        wiring.selectors,
        "a Service of nobody",
        lambda it: _spec(it, "Service", "recado-ingress")["selector"].update(
            {"app.kubernetes.io/component": "x"}
        ),
    ),
    (
        wiring.selectors,
        "a Service's port",
        lambda it: _spec(it, "Service", "recado-ingress")["ports"][0].update(targetPort="https"),
    ),
    (
        wiring.selectors,
        "a budget of nobody",
        lambda it: _spec(it, "PodDisruptionBudget", "recado-buffer")["selector"][
            "matchLabels"
        ].update({"app.kubernetes.io/component": "x"}),
    ),
    (
        wiring.selectors,
        "a policy of nobody",
        lambda it: _select(_spec(it, "NetworkPolicy", "recado-metrics"), "x"),
    ),
    (
        wiring.scaling,
        "a number of its own",
        lambda it: _spec(it, "Deployment", "recado-ingress").update(replicas=2),
    ),
    (
        wiring.scaling,
        "nothing to scale",
        lambda it: _spec(it, "ScaledObject", "recado-buffer")["scaleTargetRef"].update(
            name="buffer"
        ),
    ),
    (
        wiring.scaling,
        "a queue that is not there",
        lambda it: _spec(it, "ScaledObject", "recado-buffer")["triggers"][0]["metadata"].update(
            queueName="x"
        ),
    ),
    (
        wiring.scaling,
        "unacknowledged messages left out",
        lambda it: _spec(it, "ScaledObject", "recado-buffer")["triggers"][0]["metadata"].pop(
            "excludeUnacknowledged"
        ),
    ),
    (
        wiring.settings,
        "a variable that no role knows",
        _unknown_variable,
    ),
    (
        wiring.references,
        "a Secret of nobody",
        lambda it: _container(it, "buffer")["envFrom"].append({"secretRef": {"name": "none"}}),
    ),
    (network.denied, "nothing is closed", lambda it: _remove(it, "NetworkPolicy", "default-deny")),
    (
        network.peers,
        "a server of another name",
        lambda it: _spec(it, "NetworkPolicy", "recado-to-redis")["egress"][0]["to"][0][
            "podSelector"
        ]["matchLabels"].update({"app.kubernetes.io/name": "redis"}),
    ),
    (network.internet, "credentials of clouds", _open),
    (
        network.internet,
        "ingress on the internet",
        lambda it: _spec(it, "NetworkPolicy", "recado-internet")["podSelector"].pop(
            "matchExpressions"
        ),
    ),
    (network.servers, "Redis for everybody", _to_everybody),
    (
        network.servers,
        "no way to RabbitMQ",
        lambda it: _spec(it, "NetworkPolicy", "recado-to-servers")["egress"].pop(),
    ),
    (routes.routed, "/run for management", _route),
    (
        boards.scraped_once,
        "annotations beside a PodMonitor",
        lambda it: it.one("Deployment", "recado-buffer")["spec"]["template"]["metadata"].update(  # type: ignore[index]
            annotations={"prometheus.io/scrape": "true"}
        ),
    ),
    (
        boards.scraped_once,
        "rules that nobody selects",
        lambda it: it.of("PrometheusRule")[0]["metadata"].pop("labels"),
    ),
    (
        boards.data_sources,
        "no way for Grafana",
        lambda it: _remove(it, "NetworkPolicy", "grafana-to-postgres"),
    ),
    (boards.data_sources, "a data source of another name", _rename_data_source),
)
