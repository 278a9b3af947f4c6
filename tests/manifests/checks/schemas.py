"""Resources against the schemas of those who define them; an unknown field is a mistake."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema
import kubernetes_validate
from rendered import Rendered, Resource, title
from report import Report

# The oldest version that we promise, and the newest that the package knows.
KUBERNETES = ("1.30", "1.37")

# Interfaces of TypeScript that their projects generate: package, module.
TYPED = {
    "HTTPRoute": "gateway-api/gateway.networking.k8s.io/v1/HTTPRoute",
    "PodMonitor": "prometheus-operator/monitoring.coreos.com/v1/PodMonitor",
    "PrometheusRule": "prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
    "ScaledObject": "keda/keda.sh/v1alpha1/ScaledObject",
    "TriggerAuthentication": "keda/keda.sh/v1alpha1/TriggerAuthentication",
}

# Nobody publishes these where we can get them: schemas/ has the fields that we use.
BY_HAND = {
    "Cluster": "postgresql.cnpg.io-cluster",
    "RabbitmqCluster": "rabbitmq.com-rabbitmqcluster",
}


def check(every: list[Rendered], tools: Path, report: Report) -> None:
    """Each resource once by each schema that is its own."""
    resources = _distinct(every)
    builtin = [it for it in resources if it["kind"] not in TYPED | BY_HAND]
    complaints = [complaint for it in builtin for complaint in by_kubernetes(it)]
    report.add(
        f"resources of Kubernetes {', '.join(KUBERNETES)}",
        "kubernetes-validate",
        len(builtin),
        complaints,
    )
    typed = [it for it in resources if it["kind"] in TYPED]
    report.add(
        "of KEDA, Gateway API, Prometheus operator",
        "tsc, @kubernetes-models",
        len(typed),
        by_types(typed, tools),
    )
    by_hand = [it for it in resources if it["kind"] in BY_HAND]
    complaints = [complaint for it in by_hand for complaint in by_our_schema(it)]
    report.add(
        "of CloudNativePG, RabbitMQ Cluster Operator",
        "jsonschema, schemas/",
        len(by_hand),
        complaints,
    )


def _distinct(every: list[Rendered]) -> list[Resource]:
    seen = {
        json.dumps(it, sort_keys=True, default=str): it
        for rendered in every
        for it in rendered.resources
    }
    return list(seen.values())


def by_kubernetes(resource: Resource) -> list[str]:
    complaints = []
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = ".".join(str(it) for it in error.path)
            complaints.append(f"{title(resource)}, {version}: {path}: {error.message[:300]}")
        except (
            kubernetes_validate.SchemaNotFoundError,
            kubernetes_validate.InvalidSchemaError,
        ) as error:
            complaints.append(f"{title(resource)}, {version}: {error}")
    return complaints


def by_types(resources: list[Resource], tools: Path) -> list[str]:
    """Literals of the interface's type: the compiler refuses unknown and missing fields."""
    kinds = sorted({it["kind"] for it in resources})
    lines = [f'import {{ I{kind} }} from "@kubernetes-models/{TYPED[kind]}";' for kind in kinds]
    first = len(lines)
    lines += [
        f"export const r{n}: I{it['kind']} = {json.dumps(it)};" for n, it in enumerate(resources)
    ]
    source = tools / "resources.ts"
    source.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [
            "node",
            "node_modules/typescript/bin/tsc",
            "--noEmit",
            "--strict",
            "--skipLibCheck",
            source.name,
        ],
        cwd=tools,
        capture_output=True,
        text=True,
    )
    complaints = []
    for line in done.stdout.splitlines():
        place, _, message = line.partition("): error ")
        if not message:
            continue
        number = int(place.partition("(")[2].partition(",")[0]) - 1 - first
        complaints.append(f"{title(resources[number]) if number >= 0 else kinds}: {message}")
    if done.returncode and not complaints:
        complaints.append(done.stdout + done.stderr)
    return complaints


def by_our_schema(resource: Resource) -> list[str]:
    path = Path(__file__).parent.parent / "schemas" / f"{BY_HAND[resource['kind']]}.json"
    errors = jsonschema.Draft202012Validator(json.loads(path.read_text())).iter_errors(resource)
    return [
        f"{title(resource)}: {'.'.join(str(it) for it in error.path)}: {error.message[:300]}"
        for error in errors
    ]
