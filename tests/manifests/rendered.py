"""A kustomization as Kubernetes gets it, and the questions that checks ask of it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Resource = dict[str, Any]
Labels = dict[str, str]


@dataclass(frozen=True)
class Pod:
    """A template of pods, and what makes them."""

    owner: str
    kind: str
    labels: Labels
    annotations: Labels
    spec: Resource

    @property
    def component(self) -> str | None:
        """Which part of Recado it is, if it is one."""
        if self.labels.get("app.kubernetes.io/name") != "recado":
            return None
        return self.labels.get("app.kubernetes.io/component")

    @property
    def container(self) -> Resource:
        return self.spec["containers"][0]


@dataclass
class Rendered:
    """The resources of one kustomization."""

    name: str
    resources: list[Resource]

    def of(self, *kinds: str) -> list[Resource]:
        return [it for it in self.resources if it["kind"] in kinds]

    def one(self, kind: str, name: str) -> Resource | None:
        return next((it for it in self.of(kind) if it["metadata"]["name"] == name), None)

    def pods(self) -> list[Pod]:
        """Of everything that makes pods by itself; what operators make is not known before."""
        makers = self.of("Deployment", "StatefulSet", "Job")
        return [
            Pod(
                title(maker),
                maker["kind"],
                maker["spec"]["template"]["metadata"]["labels"],
                maker["spec"]["template"]["metadata"].get("annotations") or {},
                maker["spec"]["template"]["spec"],
            )
            for maker in makers
        ]

    def labels_of_operators(self) -> Iterator[Labels]:
        """The labels by which pods that an operator makes can be selected."""
        for cluster in self.of("Cluster"):
            for role in ("primary", "replica"):
                yield {"cnpg.io/cluster": cluster["metadata"]["name"], "cnpg.io/instanceRole": role}
        for cluster in self.of("RabbitmqCluster"):
            yield {"app.kubernetes.io/name": cluster["metadata"]["name"]}

    def variables(self, pod: Pod) -> dict[str, str | None]:
        """What a container is told, as far as it is known here; a Secret's value is None."""
        told: dict[str, str | None] = {}
        for source in pod.container.get("envFrom", []):
            if reference := source.get("configMapRef"):
                config = self.one("ConfigMap", reference["name"])
                told |= (config or {}).get("data", {})
        for variable in pod.container.get("env", []):
            told[variable["name"]] = variable.get("value")
        return told


def render(kubectl: Path, directory: Path, root: Path) -> Rendered:
    """Raises `CalledProcessError` with what kustomize says."""
    done = subprocess.run(
        [kubectl, "kustomize", directory], capture_output=True, text=True, check=True
    )
    resources = [it for it in yaml.safe_load_all(done.stdout) if it]
    return Rendered(str(directory.relative_to(root)), resources)


def title(resource: Resource) -> str:
    return f"{resource['kind']} {resource['metadata']['name']}"


def matches(selector: Resource | None, labels: Labels) -> bool:
    """Whether a label selector selects; an empty one selects everything."""
    selector = selector or {}
    exact = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in exact.items()):
        return False
    return all(_holds(it, labels) for it in selector.get("matchExpressions", []))


def _holds(expression: Resource, labels: Labels) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None
