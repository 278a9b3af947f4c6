"""Who may talk to whom, decided as Kubernetes does: a connection needs a policy that lets it out of
one pod, and one that lets it into the other."""

from __future__ import annotations

import ipaddress

from rendered import Labels, Pod, Rendered, Resource, matches, title
from repository import Repository

INTERNET = {"agent-runner", "delivery", "management", "sources"}
# Ports below 1024 that each of them may reach; those above are open to all of INTERNET.
MAIL = {25: "delivery", 465: "delivery", 587: "delivery", 143: "sources", 993: "sources"}
# Who speaks with which server. `migrate` is the Job.
EVERYBODY = {"ingress", "buffer", "agent-runner", "delivery", "sources", "management"}
SERVERS = {
    5432: ("recado-postgres", EVERYBODY | {"migrate"}),
    5672: ("recado-rabbitmq", EVERYBODY),
    6379: ("recado-redis", {"ingress", "buffer"}),
}


def denied(rendered: Rendered, _: Repository) -> list[str]:
    """Nothing is open unless a policy says so."""
    for policy in rendered.of("NetworkPolicy"):
        spec = policy["spec"]
        closes = set(spec.get("policyTypes", [])) == {"Ingress", "Egress"}
        if spec["podSelector"] == {} and closes and "ingress" not in spec and "egress" not in spec:
            return []
    return ["there is no policy that closes everything"]


def peers(rendered: Rendered, _: Repository) -> list[str]:
    """Every pod that a policy names is there, and has the port."""
    complaints = []
    pods = rendered.pods()
    known = [pod.labels for pod in pods] + list(rendered.labels_of_operators())
    for policy in rendered.of("NetworkPolicy"):
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, []):
                for peer in rule.get(side, []):
                    if "namespaceSelector" in peer or "podSelector" not in peer:
                        continue
                    if not any(matches(peer["podSelector"], labels) for labels in known):
                        complaints.append(
                            f"{title(policy)} names pods that are not there: {peer['podSelector']}"
                        )
        chosen = [pod for pod in pods if matches(policy["spec"]["podSelector"], pod.labels)]
        for rule in policy["spec"].get("ingress", []):
            for name in (it["port"] for it in rule.get("ports", []) if isinstance(it["port"], str)):
                if not any(name in _ports(pod) for pod in chosen):
                    complaints.append(f"{title(policy)}: none of its pods has a port {name}")
    return complaints


def internet(rendered: Rendered, repository: Repository) -> list[str]:
    """Those who need the internet reach it; nobody reaches an address that is not public."""
    complaints = []
    closed = [ipaddress.ip_network(it) for it in repository.closed_networks]
    for pod in (it for it in rendered.pods() if it.component):
        reach = {it for it in ("1.1.1.1", "2606:4700::1111") if _reaches(rendered, pod, it, 443)}
        expected = {"1.1.1.1", "2606:4700::1111"} if pod.component in INTERNET else set()
        if reach != expected:
            complaints.append(
                f"{pod.component} reaches {sorted(reach)} instead of {sorted(expected)}"
            )
        for port, component in MAIL.items():
            if pod.component == component and not _reaches(rendered, pod, "1.1.1.1", port):
                complaints.append(f"{component} does not reach port {port}")
            if pod.component not in ("delivery", "sources") and _reaches(
                rendered, pod, "1.1.1.1", port
            ):
                complaints.append(f"{pod.component} reaches port {port}")
        for network in closed:
            for address in (network[0], network[-1]):
                if _reaches(rendered, pod, str(address), 443):
                    complaints.append(f"{pod.component} reaches {address} of {network}")
        for other in ("fd00:ec2::254", "fe80::1", "::1", "64:ff9b::a00:1", "::ffff:10.0.0.1"):
            if _reaches(rendered, pod, other, 443):
                complaints.append(f"{pod.component} reaches {other}")
    return complaints


def servers(rendered: Rendered, _: Repository) -> list[str]:
    """Each server is reached by whom it needs, and by nobody else of Recado."""
    complaints = []
    for port, (name, expected) in SERVERS.items():
        labels = _server(rendered, name)
        if labels is None:
            continue
        for pod in (it for it in rendered.pods() if it.component):
            reaches = _connects(rendered, pod, labels, port)
            if reaches != (pod.component in expected):
                complaints.append(
                    f"{pod.component} {'reaches' if reaches else 'does not reach'} {name}"
                )
    return complaints


def _server(rendered: Rendered, name: str) -> Labels | None:
    """Its pods' labels; nothing if it is not part of this."""
    if rendered.one("Cluster", name):
        return {"cnpg.io/cluster": name}
    if rendered.one("RabbitmqCluster", name) or rendered.one("StatefulSet", name):
        return {"app.kubernetes.io/name": name}
    return None


def _connects(rendered: Rendered, pod: Pod, server: Labels, port: int) -> bool:
    leaves = any(
        _is_for(rule, port)
        and any(matches(peer.get("podSelector"), server) for peer in _own(rule, "to"))
        for policy in _policies(rendered, pod.labels, "Egress")
        for rule in policy["spec"].get("egress", [])
    )
    names = {port} | {
        it["name"]
        for other in rendered.pods()
        for it in other.container.get("ports", [])
        if it["containerPort"] == port
    }
    enters = any(
        any(_is_for(rule, it) for it in names)
        and any(matches(peer.get("podSelector"), pod.labels) for peer in _own(rule, "from"))
        for policy in _policies(rendered, server, "Ingress")
        for rule in policy["spec"].get("ingress", [])
    )
    return leaves and enters


def _reaches(rendered: Rendered, pod: Pod, address: str, port: int) -> bool:
    """Whether some policy lets `pod` out to an address that is no pod's."""
    target = ipaddress.ip_address(address)
    for policy in _policies(rendered, pod.labels, "Egress"):
        for rule in policy["spec"].get("egress", []):
            if not _is_for(rule, port):
                continue
            if "to" not in rule or any(
                _covers(it["ipBlock"], target) for it in rule["to"] if "ipBlock" in it
            ):
                return True
    return False


def _covers(block: Resource, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    excepted = any(address in ipaddress.ip_network(it) for it in block.get("except", []))
    return address in ipaddress.ip_network(block["cidr"]) and not excepted


def _policies(rendered: Rendered, labels: Labels, kind: str) -> list[Resource]:
    every = rendered.of("NetworkPolicy")
    return [
        it
        for it in every
        if kind in it["spec"]["policyTypes"] and matches(it["spec"]["podSelector"], labels)
    ]


def _own(rule: Resource, side: str) -> list[Resource]:
    """Peers in this namespace; a rule that names none means everybody."""
    return [
        it for it in rule.get(side, [{}]) if "ipBlock" not in it and "namespaceSelector" not in it
    ]


def _is_for(rule: Resource, port: int | str) -> bool:
    if "ports" not in rule:
        return True
    for given in rule["ports"]:
        first, last = given["port"], given.get("endPort", given["port"])
        if port == first or (
            isinstance(port, int) and isinstance(first, int) and first <= port <= last
        ):
            return True
    return False


def _ports(pod: Pod) -> set[str]:
    return {it["name"] for it in pod.container.get("ports", [])}
