"""Whether the world's requests come to who serves them: the routes are those of the code."""

from __future__ import annotations

import re

from rendered import Rendered
from repository import Repository


def routed(rendered: Rendered, repository: Repository) -> list[str]:
    """Webhooks to ingress, everything else to management."""
    prefixes = _prefixes(rendered)
    if not prefixes:
        return []
    complaints = []
    expected = {path: "recado-ingress" for path in repository.ingress_paths}
    expected |= {path: "recado-management" for path in repository.management_paths}
    if len(repository.ingress_paths) < 3 or len(repository.management_paths) < 40:
        complaints.append("the code's routes were not found; has their form changed?")
    for path, backend in expected.items():
        sample = re.sub(r"\{[^}]*\}", "x", path)
        goes = _longest(prefixes, sample)
        if goes != backend:
            complaints.append(f"{path} goes to {goes}; {backend} serves it")
    return complaints


def _prefixes(rendered: Rendered) -> dict[str, str]:
    found = {}
    for route in rendered.of("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for match in rule["matches"]:
                found[match["path"]["value"]] = rule["backendRefs"][0]["name"]
    for ingress in rendered.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                found[path["path"]] = path["backend"]["service"]["name"]
    return found


def _longest(prefixes: dict[str, str], path: str) -> str | None:
    fitting = [it for it in prefixes if path == it or path.startswith(it.rstrip("/") + "/")]
    return prefixes[max(fitting, key=len)] if fitting else None
