"""Holds the REST API to its own OpenAPI document, and looks whether the page that shows it is
complete.

Schemathesis makes requests from the document, right ones and wrong ones, one after the other and
in the order that its links say, and judges each answer by it. How it does that is set in
`schemathesis.toml`.
"""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from harness.installation import Installation
from harness.management import Management
from harness.report import Report, Unmet

SETTINGS = Path(__file__).parent / "schemathesis.toml"
HOOKS = Path(__file__).parent / "schemathesis_hooks.py"
# It takes two to three minutes; this is for a machine that is busy.
TIMEOUT_SECONDS = 420.0
SHOWN_LINES = 200

# What is left out, and why.
LEFT_OUT: Mapping[str, str] = {
    "/api/tools/{id}/try": "it reaches out to where the tool is",
    "/api/providers/{id}/check": "it reaches out to where the model is",
    "/api/event-endpoints/{id}/test": "it has an event sent to where the endpoint is",
    "/api/destinations/{id}/probe": "it has a delivery sent to where the answers go",
}
# Served by ingress, elsewhere.
LEFT_OUT_TAG = "Ingress (another address)"


def check(installation: Installation, management: Management, report: Report) -> None:
    with report.check("OpenAPI: the API does what its document says"):
        run_schemathesis(installation, management)
    with report.check("OpenAPI: the page at /docs is complete, and needs nobody else"):
        read_page(installation.management_url)


def run_schemathesis(installation: Installation, management: Management) -> None:
    """`Unmet`, with what it says, if it finds anything."""
    with tempfile.TemporaryDirectory(prefix="recado-schemathesis-") as scratch:
        try:
            done = subprocess.run(
                command(installation),
                cwd=scratch,
                env=environment(installation, management),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unmet(f"not within {TIMEOUT_SECONDS:.0f} s") from error
    told = done.stdout.decode(errors="replace").splitlines()
    if done.returncode != 0:
        print("\n".join(told[-SHOWN_LINES:]), flush=True)
        raise Unmet(f"schemathesis ended with {done.returncode}, see above")
    summary = [line.strip() for line in told if " generated, " in line or "Selected:" in line]
    print("\n".join(f"        {line}" for line in summary), flush=True)


def command(installation: Installation) -> list[str]:
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        "--config-file",
        str(SETTINGS),
        "run",
        f"{installation.management_url}/openapi.json",
        "--no-color",
        "--exclude-tag",
        LEFT_OUT_TAG,
    ]
    for path in LEFT_OUT:
        command += ["--exclude-path", path]
    return command


def environment(installation: Installation, management: Management) -> dict[str, str]:
    delivery = management.first("/api/deliveries")
    endpoint = management.first("/api/event-endpoints")["id"]
    return dict(os.environ) | {
        "RECADO_JWT": installation.jwt,
        "RECADO_TENANT_ID": installation.tenant_id,
        "RECADO_PROJECT_ID": installation.project_id,
        "RECADO_AGENT_ID": installation.agent_id,
        "RECADO_EXECUTION_ID": delivery["execution_id"],
        "RECADO_SESSION_ID": delivery["session_id"],
        "RECADO_DELIVERY_ID": delivery["id"],
        "RECADO_EVENT_DELIVERY_ID": management.first(
            f"/api/event-endpoints/{endpoint}/deliveries"
        )["id"],
        "RECADO_OPERATOR_JWT": installation.operator_jwt,
        "RECADO_HOOKS": str(HOOKS),
        "PYTHONHASHSEED": "0",
    }


def read_page(url: str) -> None:
    """Everything that the page names is here, and unpacks."""
    _, page = fetch(f"{url}/docs")
    parts = re.findall(r'(?:href|src)="([^"]+)"', page.decode())
    if len(parts) < 5:
        raise Unmet(f"the page names only {parts}")
    for part in parts:
        if re.match(r"[a-z]*:|/", part):
            raise Unmet(f"the page names {part}, which is elsewhere")
        kind, content = fetch(f"{url}/{part}")
        if not content:
            raise Unmet(f"{part} is empty")
        if part.endswith(".js") and kind != "text/javascript":
            raise Unmet(f"{part} is {kind}")


def fetch(url: str) -> tuple[str, bytes]:
    """The content type and the content, unpacked."""
    with urllib.request.urlopen(url, timeout=15) as response:
        content = response.read()
        if response.headers["Content-Encoding"] == "gzip":
            content = gzip.decompress(content)
        return response.headers["Content-Type"], content
