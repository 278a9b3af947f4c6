"""Outgoing webhooks of Microsoft Teams. There is no library that signs: the standard one does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from harness.management import Endpoint
from harness.web import Request
from providers.provider import Client, Message, Provider, asynchronous, json_body, json_request

HEADER = "Authorization"
SECRET = "teams_security_token"


def provider() -> Provider:
    key = secrets.token_bytes(32)

    def said(endpoint: Endpoint, message: Message) -> Request:
        body = json_body(activity(message))
        digest = hmac.new(key, body.encode(), hashlib.sha256).digest()
        signature = f"HMAC {base64.b64encode(digest).decode()}"
        return json_request(endpoint.url, body, {HEADER: signature})

    return Provider(
        channel="teams",
        trigger_config=asynchronous({"type": "teams", "signing_secret_ref": SECRET}),
        secrets={SECRET: base64.b64encode(key).decode()},
        signature_header=HEADER,
        clients=(Client("the standard library", said),),
    )


def activity(message: Message) -> dict[str, object]:
    return {
        "type": "message",
        "id": message.id,
        "timestamp": "2026-01-01T00:00:00.000Z",
        "serviceUrl": "https://smba.example.test/br/",
        "channelId": "msteams",
        "from": {
            "id": "29:1",
            "name": "Ana",
            "aadObjectId": "00000000-0000-0000-0000-000000000001",
        },
        "conversation": {"id": "19:1@thread.tacv2;messageid=1", "conversationType": "channel"},
        "textFormat": "plain",
        "text": f"<at>Recado</at> {message.text}",
    }
