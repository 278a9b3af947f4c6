"""Standard Webhooks, and Svix, which differs in the names of the headers and in its libraries."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from typing import Protocol

import standardwebhooks
import svix.webhooks

from harness.management import Endpoint
from harness.npm import Npm
from harness.web import Request
from providers.provider import Client, Message, Provider, asynchronous, json_body, json_request


class Webhook(Protocol):
    """What both libraries call `Webhook`."""

    def sign(self, msg_id: str, timestamp: datetime, data: str) -> str: ...


def provider(npm: Npm) -> Provider:
    secret = fresh_secret()
    library = standardwebhooks.Webhook(secret)
    return of("standard_webhooks", "webhook", "standardwebhooks", secret, library, npm)


def svix_provider(npm: Npm) -> Provider:
    secret = fresh_secret()
    return of("svix", "svix", "svix", secret, svix.webhooks.Webhook(secret), npm)


def of(
    channel: str, prefix: str, library: str, secret: str, webhook: Webhook, npm: Npm
) -> Provider:
    """The provider whose headers begin with `prefix` and whose libraries are called `library`."""

    def request(endpoint: Endpoint, message: Message, body: str, signature: str) -> Request:
        headers = {
            f"{prefix}-id": name(message),
            f"{prefix}-timestamp": str(message.signed_at),
            f"{prefix}-signature": signature,
        }
        return json_request(endpoint.url, body, headers)

    def from_pypi(endpoint: Endpoint, message: Message) -> Request:
        body, time = json_body(event(message)), datetime.fromtimestamp(message.signed_at, UTC)
        return request(endpoint, message, body, webhook.sign(name(message), time, body))

    def from_npm(endpoint: Endpoint, message: Message) -> Request:
        body = json_body(event(message))
        signature = npm.sign(
            library, secret=secret, id=name(message), signed_at=message.signed_at, body=body
        )
        return request(endpoint, message, body, signature)

    def with_two_signatures(endpoint: Endpoint, message: Message) -> Request:
        old = standardwebhooks.Webhook(fresh_secret())
        body, time = json_body(event(message)), datetime.fromtimestamp(message.signed_at, UTC)
        signatures = [it.sign(name(message), time, body) for it in (old, webhook)]
        return request(endpoint, message, body, " ".join(signatures))

    signing_secret = f"{channel}_signing_secret"
    return Provider(
        channel=channel,
        trigger_config=asynchronous(
            {"type": channel, "signing_secret_ref": signing_secret},
            query_extraction={"mode": "field", "field": "data.text"},
        ),
        secrets={signing_secret: secret},
        signature_header=f"{prefix}-signature",
        clients=(
            Client(f"{library} of PyPI", from_pypi),
            Client(f"{library} of PyPI, two signatures", with_two_signatures),
            Client(f"{library} of npm", from_npm),
        ),
        has_time=True,
    )


def fresh_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def name(message: Message) -> str:
    return f"msg_{message.id}"


def event(message: Message) -> dict[str, object]:
    return {
        "type": "message.created",
        "timestamp": "2026-01-01T00:00:00Z",
        "data": {"text": message.text, "user": "ana"},
    }
