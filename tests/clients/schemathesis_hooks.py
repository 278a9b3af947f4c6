"""What schemathesis is told in Python; named in `schemathesis.toml`."""

from __future__ import annotations

import itertools
import os
import re
from typing import Any

import schemathesis

IS_KEY = re.compile(r"[!-~]{1,255}")
OWNER = f"Bearer {os.environ['RECADO_JWT']}"
OPERATOR = f"Bearer {os.environ['RECADO_OPERATOR_JWT']}"
TENANT = os.environ["RECADO_TENANT_ID"]
# What the addresses of /manage begin with, and an id of nothing.
KEPT = {os.environ["RECADO_AGENT_ID"], os.environ["RECADO_PROJECT_ID"]}
NOBODY = "01930000-0000-7000-8000-00000000dead"

# Most of what there is to look at was made by messages, and not by the API.
KNOWN = {
    "/api/executions/": os.environ["RECADO_EXECUTION_ID"],
    "/v1/objectives/": os.environ["RECADO_EXECUTION_ID"],
    "/api/sessions/": os.environ["RECADO_SESSION_ID"],
    "/api/v1/sessions/": os.environ["RECADO_SESSION_ID"],
    "/api/deliveries/": os.environ["RECADO_DELIVERY_ID"],
    "/api/event-deliveries/": os.environ["RECADO_EVENT_DELIVERY_ID"],
}
IS_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

numbers = itertools.count(1)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Replaces what would hide everything else, though it is well-formed."""
    # An agent that has gone to another project leaves nothing to be asked of /manage.
    if case.method in ("PATCH", "DELETE") and case.path_parameters.get("id") in KEPT:
        case.path_parameters["id"] = NOBODY
    path = case.operation.path
    known = next((it for at, it in KNOWN.items() if path.startswith(at)), None)
    if known is not None and IS_ID.fullmatch(str(case.path_parameters.get("id"))):
        case.path_parameters["id"] = known
    headers = case.headers
    if not headers:
        return
    # Those of examples repeat, and a key that repeats with another body tells nothing about it.
    key = headers.get("Idempotency-Key")
    if isinstance(key, str) and IS_KEY.fullmatch(key):
        headers["Idempotency-Key"] = f"schemathesis-{next(numbers)}"
    if path.startswith("/api/tenants"):
        if headers.get("Authorization") == OWNER:
            headers["Authorization"] = OPERATOR
        # An operator has none.
        if headers.get("x-tenant-id") == TENANT:
            del headers["x-tenant-id"]
