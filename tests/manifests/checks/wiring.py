"""Whether what refers to something finds it: roles, selectors, scalers, settings, Secrets."""

from __future__ import annotations

import re

from rendered import Rendered, Resource, matches, title
from repository import Repository

# Made by operators, out of what they run.
SECRETS_OF_OPERATORS = {"recado-postgres-app", "recado-postgres-ca", "recado-rabbitmq-default-user"}


def roles(rendered: Rendered, repository: Repository) -> list[str]:
    """Every role of the program has a Deployment that runs it, and a disruption budget."""
    complaints = []
    deployed = {
        pod.container["args"][0]: pod
        for pod in rendered.pods()
        if pod.component and pod.kind != "Job"
    }
    for role in repository.roles:
        if role not in deployed:
            complaints.append(f"nothing runs `recado {role}`")
        elif deployed[role].component != role:
            complaints.append(f"`recado {role}` runs as {deployed[role].component}")
    for role in deployed.keys() - set(repository.roles):
        complaints.append(f"there is no `recado {role}`")
    budgets = rendered.of("PodDisruptionBudget")
    for role, pod in deployed.items():
        own = [it for it in budgets if matches(it["spec"]["selector"], pod.labels)]
        if len(own) != 1 or own[0]["spec"].get("maxUnavailable") != 1:
            complaints.append(
                f"{role} has no disruption budget, or more than one, or one of another size"
            )
    jobs = [pod for pod in rendered.pods() if pod.kind == "Job"]
    # By its labels network policies let it out.
    if [(pod.component, pod.container["args"]) for pod in jobs] != [("migrate", ["migrate"])]:
        complaints.append(
            "nothing brings the schema up to date, or not under the labels of `migrate`"
        )
    return complaints


def release(rendered: Rendered, _: Repository) -> list[str]:
    """One image for all, and a migration of its own for each release."""
    complaints = []
    images = {pod.container["image"] for pod in rendered.pods() if pod.component}
    if len(images) != 1:
        complaints.append(f"the roles run different images: {sorted(images)}")
    tag = min(images).rpartition(":")[2]
    for job in rendered.of("Job"):
        if rendered.of("Namespace") and job["metadata"]["name"] != f"recado-migrate-{tag}":
            complaints.append(
                f"{title(job)} is not named after the release {tag}: it could not be changed"
            )
    return complaints


def selectors(rendered: Rendered, _: Repository) -> list[str]:
    """Whoever selects pods selects some, and a Service's port is one of theirs."""
    complaints = []
    pods = rendered.pods()
    known = [pod.labels for pod in pods] + list(rendered.labels_of_operators())
    for resource in rendered.of("PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
        field = "podSelector" if resource["kind"] == "NetworkPolicy" else "selector"
        if not any(matches(resource["spec"][field], labels) for labels in known):
            complaints.append(f"{title(resource)} selects nothing")
    for service in rendered.of("Service"):
        chosen = [
            pod for pod in pods if matches({"matchLabels": service["spec"]["selector"]}, pod.labels)
        ]
        if not chosen:
            complaints.append(f"{title(service)} selects nothing")
        for pod in chosen:
            ports = {port["name"] for port in pod.container.get("ports", [])}
            for port in service["spec"]["ports"]:
                if port["targetPort"] not in ports:
                    complaints.append(
                        f"{title(service)}: {pod.owner} has no port {port['targetPort']}"
                    )
    for monitor in rendered.of("PodMonitor"):
        for pod in (pod for pod in pods if matches(monitor["spec"]["selector"], pod.labels)):
            ports = {port["name"] for port in pod.container.get("ports", [])}
            wanted = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
            complaints += [
                f"{title(monitor)}: {pod.owner} has no port {it}" for it in sorted(wanted - ports)
            ]
    for deployment in rendered.of("Deployment", "StatefulSet"):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        if not matches(deployment["spec"]["selector"], labels):
            complaints.append(f"{title(deployment)} does not select its own pods")
        others = [
            pod
            for pod in pods
            if pod.labels != labels and matches(deployment["spec"]["selector"], pod.labels)
        ]
        complaints += [f"{title(deployment)} selects {pod.owner}" for pod in others]
    return complaints


def scaling(rendered: Rendered, repository: Repository) -> list[str]:
    """Who is scaled exists, has one scaler, and no number of its own; two always run."""
    complaints = []
    scaled: set[str] = set()
    for scaler in rendered.of("HorizontalPodAutoscaler", "ScaledObject"):
        spec: Resource = scaler["spec"]
        name = spec["scaleTargetRef"]["name"]
        target = rendered.one("Deployment", name)
        if target is None:
            complaints.append(f"{title(scaler)}: there is no Deployment {name}")
            continue
        if name in scaled:
            complaints.append(f"{name} is scaled twice")
        scaled.add(name)
        if "replicas" in target["spec"]:
            complaints.append(f"{title(target)} has a number of replicas of its own")
        if (spec.get("minReplicas") or spec.get("minReplicaCount", 0)) < 2:
            complaints.append(f"{title(scaler)} may leave less than two")
        behavior = spec.get("behavior") or spec.get("advanced", {}).get(
            "horizontalPodAutoscalerConfig", {}
        ).get("behavior", {})
        if behavior.get("scaleDown", {}).get("stabilizationWindowSeconds", 0) < 300:
            complaints.append(f"{title(scaler)} goes down hastily")
        complaints += [f"{title(scaler)}: {it}" for it in _triggers(spec, rendered, repository)]
    return complaints


def _triggers(spec: Resource, rendered: Rendered, repository: Repository) -> list[str]:
    complaints = []
    for trigger in spec.get("triggers", []):
        data = trigger["metadata"]
        if not all(isinstance(value, str) for value in data.values()):
            complaints.append(f"the metadata of {trigger['type']} has to be strings")
        if trigger["type"] == "rabbitmq":
            if data.get("queueName") not in repository.queues:
                complaints.append(f"there is no queue {data.get('queueName')}")
            if (data.get("protocol"), data.get("mode")) != ("http", "QueueLength"):
                complaints.append("queues are counted over HTTP")
            if data.get("excludeUnacknowledged") != "false":
                complaints.append("what is being worked on does not count")
            reference = trigger.get("authenticationRef", {}).get("name", "")
            if rendered.one("TriggerAuthentication", reference) is None:
                complaints.append(f"there is no TriggerAuthentication {reference}")
        elif data.get("ignoreNullValues") != "false":
            complaints.append("a figure that is missing counts as 0")
    return complaints


def settings(rendered: Rendered, repository: Repository) -> list[str]:
    """Every variable is one that a role knows: with another one it does not start."""
    complaints = []
    for pod in rendered.pods():
        for name in rendered.variables(pod) if pod.component else []:
            if name.startswith(("RECADO_", "OTEL_")) and name not in repository.settings:
                complaints.append(f"{pod.owner}: there is no variable {name}")
    return complaints


def references(rendered: Rendered, repository: Repository) -> list[str]:
    """ConfigMaps and Secrets that pods want are there, or somebody is told to make them."""
    told = repository.text("k8s/base/secret.example.yaml") + repository.text("k8s/README.md")
    secrets = SECRETS_OF_OPERATORS | set(re.findall(r"\brecado(?:-[a-z]+)*\b", told))
    complaints = []
    for pod in rendered.pods():
        for kind, name in sorted(set(_wanted(pod.spec))):
            missing = (
                rendered.one("ConfigMap", name) is None
                if kind == "ConfigMap"
                else name not in secrets
            )
            if missing:
                complaints.append(f"{pod.owner} wants the {kind} {name}, which nobody makes")
    return complaints


def _wanted(node: object) -> list[tuple[str, str]]:
    keys = {
        "configMapRef": "ConfigMap",
        "configMapKeyRef": "ConfigMap",
        "secretRef": "Secret",
        "secretKeyRef": "Secret",
    }
    if isinstance(node, list):
        return [found for item in node for found in _wanted(item)]
    if not isinstance(node, dict):
        return []
    own = [(kind, node[key]["name"]) for key, kind in keys.items() if key in node]
    own += [("Secret", node["secretName"])] if "secretName" in node else []
    return own + [found for value in node.values() for found in _wanted(value)]
