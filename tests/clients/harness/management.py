"""The few calls of the REST API that the checks need."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from harness.installation import Installation
from harness.report import Unmet
from harness.web import send


@dataclass(frozen=True)
class Endpoint:
    """A trigger, as far as the provider is told about it."""

    trigger_id: str
    url: str
    webhook_secret: str


@dataclass(frozen=True)
class Execution:
    """An execution, and what its agent was asked."""

    id: str
    status: str
    text: str


@dataclass(frozen=True)
class EventEndpoint:
    """Where events are sent to, and what they are signed with."""

    id: str
    secret: str


@dataclass(frozen=True)
class Management:
    """The REST API, as the owner of the demo tenant."""

    installation: Installation

    def keep_secret(self, name: str, value: str) -> None:
        self._call("POST", "/api/secrets", {"name": name, "value": value})

    def create_trigger(self, name: str, trigger_config: dict[str, Any]) -> Endpoint:
        made = self._call(
            "POST",
            "/api/triggers",
            {
                "agent_id": self.installation.agent_id,
                "name": name,
                "trigger_type": "webhook",
                "trigger_config": trigger_config,
            },
        )
        trigger = made["data"]
        return Endpoint(trigger["id"], made["webhook_url"], trigger["webhook_secret"])

    def create_event_endpoint(self, name: str, url: str) -> EventEndpoint:
        """One for the events of the demo agent."""
        wanted = {"name": name, "url": url, "agent_id": self.installation.agent_id}
        made = self._call("POST", "/api/event-endpoints", wanted)["data"]
        return EventEndpoint(made["id"], made["secret"])

    def rotate_event_secret(self, endpoint: EventEndpoint) -> EventEndpoint:
        """Another secret; the one before it signs on for a day."""
        path = f"/api/event-endpoints/{endpoint.id}/rotate-secret"
        return EventEndpoint(endpoint.id, self._call("POST", path, {})["data"]["secret"])

    def first(self, path: str) -> dict[str, Any]:
        """The first of a list; `Unmet` if there is none."""
        found: list[dict[str, Any]] = self._call("GET", f"{path}?limit=1")["data"]
        if not found:
            raise Unmet(f"GET {path}: there is nothing")
        return found[0]

    def executions(self, endpoint: Endpoint) -> list[Execution]:
        """All of a trigger, if they are at most a hundred."""
        path = f"/api/triggers/{endpoint.trigger_id}/executions"
        listed = self._call("GET", f"{path}?limit=100")["data"]
        entries = [self._call("GET", f"{path}/{entry['id']}")["execution"] for entry in listed]
        return [
            Execution(entry["id"], entry["status"], entry["normalized_query"]) for entry in entries
        ]

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        url = self.installation.management_url + path
        headers = {"Authorization": f"Bearer {self.installation.jwt}"}
        data = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        answer = send(method, url, headers, data)
        if not 200 <= answer.status < 300:
            raise Unmet(f"{method} {path}: {answer}")
        return answer.json()
