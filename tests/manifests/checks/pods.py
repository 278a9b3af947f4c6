"""How pods run: Pod Security "restricted" and more, probes, resources, time to end."""

from __future__ import annotations

from rendered import Pod, Rendered, Resource
from repository import Repository

# What processes of one role take beside its limit: connections that only listen.
LISTENERS = 1


def restricted(rendered: Rendered, _: Repository) -> list[str]:
    """Every container meets "restricted"; those of Recado cannot write to their image either."""
    complaints = []
    for pod in rendered.pods():
        context = pod.spec.get("securityContext", {})
        wrong = [
            _unless(context.get("runAsNonRoot") is True, "may run as root"),
            _unless(
                isinstance(context.get("runAsUser"), int) and context["runAsUser"] > 0,
                "has no numeric user",
            ),
            _unless(
                context.get("seccompProfile", {}).get("type") == "RuntimeDefault",
                "has no seccomp profile",
            ),
            _unless(
                pod.spec.get("automountServiceAccountToken") is False, "has a token of the cluster"
            ),
            _unless(pod.spec.get("enableServiceLinks") is False, "gets variables of Services"),
            *(
                _unless(not pod.spec.get(field), f"has {field}")
                for field in ("hostNetwork", "hostPID", "hostIPC", "ephemeralContainers")
            ),
            *(
                _unless("hostPath" not in volume, f"mounts the node's {volume['name']}")
                for volume in pod.spec.get("volumes", [])
            ),
        ]
        for container in pod.spec["containers"] + pod.spec.get("initContainers", []):
            own = container.get("securityContext", {})
            wrong += [
                _unless(own.get("allowPrivilegeEscalation") is False, "may gain privileges"),
                _unless(own.get("capabilities", {}).get("drop") == ["ALL"], "keeps capabilities"),
                _unless("add" not in own.get("capabilities", {}), "adds capabilities"),
                _unless(not own.get("privileged"), "is privileged"),
                _unless(
                    not pod.component or own.get("readOnlyRootFilesystem") is True,
                    "writes to its root",
                ),
                _unless(
                    ":" in container["image"] and not container["image"].endswith(":latest"),
                    "has no tag",
                ),
            ]
        complaints += [f"{pod.owner} {it}" for it in wrong if it]
    for namespace in rendered.of("Namespace"):
        level = namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce")
        if level != "restricted":
            complaints.append(f"the namespace enforces {level}")
    return complaints


def probes(rendered: Rendered, _: Repository) -> list[str]:
    """What serves has all three, and is not restarted because of somebody else."""
    complaints = []
    for pod in rendered.pods():
        if pod.kind == "Job":
            continue
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe not in pod.container:
                complaints.append(f"{pod.owner} has no {probe}")
        if pod.component:
            paths = {
                probe: _path(pod, probe)
                for probe in ("startupProbe", "livenessProbe", "readinessProbe")
            }
            if paths["livenessProbe"] != "/health/live" or paths["startupProbe"] != "/health/live":
                complaints.append(f"{pod.owner} is restarted for more than being stuck: {paths}")
            if paths["readinessProbe"] != "/health/ready":
                complaints.append(f"{pod.owner} is not asked whether it is ready: {paths}")
    return complaints


def resources(rendered: Rendered, _: Repository) -> list[str]:
    """CPU and memory are asked for, and memory is bounded."""
    complaints = []
    for pod in rendered.pods():
        given = pod.container.get("resources", {})
        for field, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            if name not in given.get(field, {}):
                complaints.append(f"{pod.owner} has no {name} in its {field}")
        if "cpu" in given.get("limits", {}):
            complaints.append(f"{pod.owner} is throttled by a limit of CPU")
    return complaints


def grace(rendered: Rendered, repository: Repository) -> list[str]:
    """Kubernetes waits for longer than a role needs to end."""
    complaints = []
    default = repository.settings["RECADO_GRACE_MS"].strip("`")
    for pod in rendered.pods():
        if not pod.component or pod.kind == "Job":
            continue
        told = rendered.variables(pod).get("RECADO_GRACE_MS") or default
        before = (
            pod.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        )
        needed = int(told) / 1000 + before
        given = pod.spec.get("terminationGracePeriodSeconds", 30)
        if given <= needed:
            complaints.append(f"{pod.owner} is killed after {given} s; it may take {needed:g} s")
        serves = any(port["name"] == "http" for port in pod.container.get("ports", []))
        if serves and not before:
            complaints.append(f"{pod.owner} ends before proxies have heard of it: no preStop")
        if pod.component == "agent-runner" and given < 660:
            complaints.append(
                f"{pod.owner} is killed after {given} s; an execution takes up to 600 s"
            )
    return complaints


def rollout(rendered: Rendered, _: Repository) -> list[str]:
    """A release takes no pod away before there is a ready one, and they are spread."""
    complaints = []
    for deployment in rendered.of("Deployment"):
        name = deployment["metadata"]["name"]
        rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate", {})
        if rolling.get("maxUnavailable") != 0:
            complaints.append(f"{name}: a release takes away pods that serve")
        spread = deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
        keys = {it["topologyKey"] for it in spread}
        if keys != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            complaints.append(f"{name} is spread over {sorted(keys)} only")
    return complaints


def connections(rendered: Rendered, repository: Repository) -> list[str]:
    """PostgreSQL has a connection for every pod there may be, also in a release."""
    needed = 0
    for pod in rendered.pods():
        if pod.component and pod.kind == "Deployment":
            pool = rendered.variables(pod).get("RECADO_DATABASE_POOL_SIZE")
            default = 4 if pod.component == "management" else 16
            needed += (_at_most(rendered, pod) + 1) * (int(pool or default) + LISTENERS)
    documented = repository.settings["RECADO_DATABASE_POOL_SIZE"]
    complaints = (
        [] if documented == "`16`; management: `4`" else [f"the pool's default is {documented} now"]
    )
    for limit in _limits(rendered):
        if needed > limit:
            complaints.append(f"the pods may open {needed} connections; PostgreSQL takes {limit}")
    return complaints


def _limits(rendered: Rendered) -> list[int]:
    limits = [
        int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
        for cluster in rendered.of("Cluster")
    ]
    for pod in rendered.pods():
        stated = [it for it in pod.container.get("args", []) if it.startswith("max_connections=")]
        limits += [int(it.partition("=")[2]) for it in stated]
    return limits


def _at_most(rendered: Rendered, pod: Pod) -> int:
    name = pod.owner.removeprefix("Deployment ")
    for scaler in rendered.of("HorizontalPodAutoscaler", "ScaledObject"):
        spec: Resource = scaler["spec"]
        if spec["scaleTargetRef"]["name"] == name:
            return spec.get("maxReplicas") or spec["maxReplicaCount"]
    deployment = rendered.one("Deployment", name)
    return deployment["spec"].get("replicas", 1) if deployment else 1


def _path(pod: Pod, probe: str) -> str | None:
    return pod.container.get(probe, {}).get("httpGet", {}).get("path")


def _unless(holds: bool, complaint: str) -> str:
    return "" if holds else complaint
