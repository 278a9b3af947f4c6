"""The image and docker-compose.yml."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from report import Report
from repository import Repository

COMPOSE = "docker-compose.yml"
DOCKERFILE = "deploy/Dockerfile"


def check(repository: Repository, tools: Path, report: Report) -> None:
    root = repository.root
    report.add("the Dockerfile", "hadolint", 1, _run(root, tools / "venv/bin/hadolint", DOCKERFILE))
    report.add(
        "the image: user, entry, bases, revision", "our own", 1, image(repository.text(DOCKERFILE))
    )
    schema = ("--builtin-schema", "vendor.compose-spec")
    report.add(
        COMPOSE,
        "check-jsonschema",
        1,
        _run(root, tools / "venv/bin/check-jsonschema", *schema, COMPOSE),
    )
    compose = repository.yaml(COMPOSE)
    report.add(
        "services: roles, settings, grace, files",
        "our own",
        len(compose["services"]),
        services(compose, repository),
    )


def image(text: str) -> list[str]:
    """What Kubernetes' policies and reproducible builds stand on."""
    wanted = {
        "the user is not a number": r"^USER [1-9]\d*:[1-9]\d*$",
        "the entry is not the program": r'^ENTRYPOINT \["/usr/local/bin/recado"\]$',
        "the lock file may be changed": r"cargo build --release --locked",
        "the revision is not passed on": r"^ARG RECADO_REVISION",
        "the clock cannot be fixed": r"^ARG SOURCE_DATE_EPOCH",
        "the base is not distroless": r"^ARG BASE_IMAGE=gcr\.io/distroless/",
    }
    complaints = [
        complaint for complaint, pattern in wanted.items() if not re.search(pattern, text, re.M)
    ]
    final = text[text.rindex("\nFROM ") :]
    if re.search(r"^ENV .*RECADO_REVISION", final, re.M | re.S):
        complaints.append("a role would not start: RECADO_REVISION is no setting")
    if re.search(r"^(RUN|ADD) ", final, re.M):
        complaints.append("the final stage runs something: it has no shell")
    return complaints


def services(compose: dict[str, Any], repository: Repository) -> list[str]:
    complaints = []
    default = int(repository.settings["RECADO_GRACE_MS"].strip("`"))
    for name, service in compose["services"].items():
        for variable in service.get("environment", {}):
            if variable.startswith(("RECADO_", "OTEL_")) and variable not in repository.settings:
                complaints.append(f"{name}: there is no variable {variable}")
        for needed in service.get("depends_on", {}):
            if needed not in compose["services"]:
                complaints.append(f"{name} depends on {needed}, which is not there")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./") and not (repository.root / source).exists():
                complaints.append(f"{name} mounts {source}, which is not there")
            if not source.startswith(".") and source not in compose["volumes"]:
                complaints.append(f"{name} has no volume {source}")
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                complaints.append(f"{name} is open to the network: {port}")
        if not re.search(r":[\w${:.-]*\d|:dev\}$", service.get("image", "")):
            complaints.append(f"{name} has an image without a version: {service.get('image')}")
    for role in repository.roles:
        service = compose["services"].get(role)
        if service is None or service.get("command") != [role]:
            complaints.append(f"nothing runs `recado {role}`")
            continue
        may_take = int(service["environment"].get("RECADO_GRACE_MS", default)) / 1000
        if int(service["stop_grace_period"].removesuffix("s")) <= may_take:
            complaints.append(f"{role} is killed before it has ended")
        if not service.get("read_only") or service.get("cap_drop") != ["ALL"]:
            complaints.append(f"{role} has rights that it does not need")
    return complaints


def _run(root: Path, *command: str | Path) -> list[str]:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]
