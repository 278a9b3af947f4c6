"""What the repository says of itself: settings, roles, routes, queues, metrics, closed networks."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml


class Repository:
    """The files below one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def text(self, path: str) -> str:
        return (self.root / path).read_text(encoding="utf-8")

    def yaml(self, path: str) -> Any:
        return yaml.safe_load(self.text(path))

    @cached_property
    def settings(self) -> dict[str, str]:
        """Every variable that a role knows, with its default, from docs/configuration.md."""
        rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", self.text("docs/configuration.md"), re.M)
        return {name: default.strip() for name, default in rows}

    @cached_property
    def roles(self) -> list[str]:
        """What `recado --help` calls its roles."""
        variants = re.findall(r"^\s+(\w+)\(Role\),$", self.text("services/recado/src/cli.rs"), re.M)
        return [re.sub(r"(?<!^)(?=[A-Z])", "-", variant).lower() for variant in variants]

    @cached_property
    def ingress_paths(self) -> list[str]:
        """Routes of ingress."""
        surfaces = sorted((self.root / "services/ingress/src/surface").glob("*.rs"))
        declared = re.compile(r'const PATH: &str =\s*"([^"]+)"')
        return [path for file in surfaces for path in declared.findall(file.read_text())]

    @cached_property
    def management_paths(self) -> list[str]:
        """Routes of management: the first line of each `Resource`, and its documents."""
        sources = sorted((self.root / "services/management/src/http").rglob("*.rs"))
        literal = re.compile(r'^\s+"(/[a-z][^"\s]*)",$', re.M)
        found = {path for file in sources for path in literal.findall(file.read_text())}
        return sorted((found | {"/openapi.json", "/docs"}) - set(self.ingress_paths))

    @cached_property
    def queues(self) -> set[str]:
        """Work queues."""
        return set(
            re.findall(r'^    name: "([^"]+)"', self.text("shared/broker/src/topology.rs"), re.M)
        )

    @cached_property
    def metrics(self) -> set[str]:
        """Every metric that docs/metrics.md lists, and what Prometheus makes of histograms."""
        names = set(re.findall(r"`((?:recado|process)_[a-z0-9_]+)", self.text("docs/metrics.md")))
        return names | {name + end for name in names for end in ("_bucket", "_sum", "_count")}

    @cached_property
    def closed_networks(self) -> set[str]:
        """What our own guard takes for not public, and network policies have to close as well."""
        text = self.text("shared/http/src/guard/address.rs")
        v4 = re.findall(r"^    v4\(\[([\d, ]+)\], (\d+)\)", text, re.M)
        v6 = re.findall(r"^    v6\(\[([\w, ]+)\], (\d+)\)", text, re.M)
        closed = {f"{octets.replace(', ', '.')}/{prefix}" for octets, prefix in v4}
        for segments, prefix in v6:
            hexadecimal = [format(int(it, 0), "x") for it in segments.split(", ")]
            while hexadecimal[-1] == "0":
                hexadecimal.pop()
            closed.add(f"{':'.join(hexadecimal)}::/{prefix}")
        return closed | {"224.0.0.0/3"}
