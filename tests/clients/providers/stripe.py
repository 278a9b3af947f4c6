"""Stripe: a time and signatures over it and the body, all in one header."""

from __future__ import annotations

import secrets

from stripe import WebhookSignature

from harness.management import Endpoint
from harness.npm import Npm
from harness.web import Request
from providers.provider import (
    Client,
    Message,
    Provider,
    asynchronous,
    json_body,
    json_request,
)

HEADER = "Stripe-Signature"
SECRET = "stripe_signing_secret"


def provider(npm: Npm) -> Provider:
    signing_secret = f"whsec_{secrets.token_hex(16)}"

    def from_pypi(endpoint: Endpoint, message: Message) -> Request:
        body = json_body(event(message))
        signature = WebhookSignature.generate_signature_header(
            body, signing_secret, message.signed_at
        )
        return json_request(endpoint.url, body, {HEADER: signature})

    def from_npm(endpoint: Endpoint, message: Message) -> Request:
        body = json_body(event(message))
        signature = npm.sign(
            "stripe", secret=signing_secret, signed_at=message.signed_at, body=body
        )
        return json_request(endpoint.url, body, {HEADER: signature})

    return Provider(
        channel="stripe",
        trigger_config=asynchronous(
            {"type": "stripe", "signing_secret_ref": SECRET},
            query_extraction={"mode": "field", "field": "data.object.description"},
        ),
        secrets={SECRET: signing_secret},
        signature_header=HEADER,
        clients=(Client("stripe of PyPI", from_pypi), Client("stripe of npm", from_npm)),
        has_time=True,
    )


def event(message: Message) -> dict[str, object]:
    return {
        "id": f"evt_{message.id}",
        "object": "event",
        "api_version": "2025-09-30",
        "created": 1_700_000_000,
        "type": "charge.succeeded",
        "livemode": False,
        "data": {
            "object": {
                "id": "ch_0123456789",
                "object": "charge",
                "amount": 4200,
                "currency": "brl",
                "description": message.text,
            }
        },
    }
