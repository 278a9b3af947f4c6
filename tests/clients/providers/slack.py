"""Slack's Events API: a signature over the time and the body."""

from __future__ import annotations

import secrets
from typing import Any

from slack_sdk.signature import SignatureVerifier

from harness.management import Endpoint
from harness.web import Answer, Request
from providers.provider import (
    Client,
    Message,
    Provider,
    Question,
    asynchronous,
    is_taken,
    json_body,
    json_request,
)

HEADER = "X-Slack-Signature"
SECRET = "slack_signing_secret"
APP = "A0123456789"


def provider() -> Provider:
    signing_secret = secrets.token_hex(16)
    verifier = SignatureVerifier(signing_secret)

    def signed(endpoint: Endpoint, message: Message, event: dict[str, Any]) -> Request:
        body, time = json_body(event), str(message.signed_at)
        signature = verifier.generate_signature(timestamp=time, body=body)
        assert signature is not None, "a timestamp was given"
        headers = {"X-Slack-Request-Timestamp": time, HEADER: signature}
        return json_request(endpoint.url, body, headers)

    def said(endpoint: Endpoint, message: Message) -> Request:
        return signed(endpoint, message, message_event(message))

    def said_by_our_bot(endpoint: Endpoint, message: Message) -> Request:
        return signed(endpoint, message, message_event(message, bot_id="B0123456789", app_id=APP))

    def challenge(endpoint: Endpoint, message: Message) -> Request:
        asked = {"token": "unused", "challenge": message.mark, "type": "url_verification"}
        return signed(endpoint, message, asked)

    return Provider(
        channel="slack",
        trigger_config=asynchronous({"type": "slack", "signing_secret_ref": SECRET}),
        secrets={SECRET: signing_secret},
        signature_header=HEADER,
        clients=(Client("slack-sdk of PyPI", said),),
        has_time=True,
        questions=(
            Question("url_verification", challenge, is_echo),
            Question("what our own bot said", said_by_our_bot, is_taken),
        ),
    )


def message_event(message: Message, **more: str) -> dict[str, Any]:
    return {
        "token": "unused",
        "team_id": "T0123456789",
        "api_app_id": APP,
        "type": "event_callback",
        "event_id": f"Ev{message.id[:10].upper()}",
        "event_time": 1_700_000_000,
        "event": {
            "type": "message",
            "channel": "D0123456789",
            "channel_type": "im",
            "user": "U0123456789",
            "text": message.text,
            "ts": "1700000000.000100",
            **more,
        },
    }


def is_echo(message: Message, answer: Answer) -> bool:
    """Slack takes the challenge as plain text or in JSON."""
    challenges = (answer.text(), (answer.json() or {}).get("challenge"))
    return answer.status == 200 and message.mark in challenges
