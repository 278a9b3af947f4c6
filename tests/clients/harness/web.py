"""Requests as a provider sends them, and the gateway between the provider and ingress."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

# For one answer. Nothing here waits for an agent.
TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True)
class Request:
    """A request to the public URL, byte for byte."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    method: str = "POST"

    def with_header(self, name: str, value: str) -> Request:
        return replace(self, headers={**self.headers, name: value})

    def without_header(self, name: str) -> Request:
        return replace(self, headers={key: it for key, it in self.headers.items() if key != name})


@dataclass(frozen=True)
class Answer:
    """What came back, without headers that differ from one answer to the next."""

    status: int
    body: bytes

    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON, or None if it is something else."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.status} {self.body[:400].decode(errors='replace')}"


@dataclass(frozen=True)
class Gateway:
    """Carries requests to the public URL to where ingress really listens.

    Like most gateways it takes its own part of the path away and tells the service another
    `Host`: signatures over the URL have to hold all the same.
    """

    public_url: str
    upstream: str

    def send(self, request: Request) -> Answer:
        target = request.url.removeprefix(self.public_url)
        if target == request.url:
            raise ValueError(f"{request.url} is not below {self.public_url}")
        return send(request.method, self.upstream + target, request.headers, request.body)


def send(method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, target, body=body or None, headers=dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()
