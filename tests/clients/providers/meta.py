"""WhatsApp by Meta's Cloud API. Meta has no library that signs: the standard library does."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any
from urllib.parse import urlencode

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

HEADER = "X-Hub-Signature-256"
APP_SECRET = "meta_app_secret"
VERIFY_TOKEN = "meta_verify_token"


def provider() -> Provider:
    app_secret, verify_token = secrets.token_hex(16), secrets.token_hex(16)

    def signed(endpoint: Endpoint, change: dict[str, Any]) -> Request:
        body = json_body(notification(change))
        digest = hmac.new(app_secret.encode(), body.encode(), hashlib.sha256).hexdigest()
        return json_request(endpoint.url, body, {HEADER: f"sha256={digest}"})

    def said(endpoint: Endpoint, message: Message) -> Request:
        return signed(endpoint, {"contacts": [CONTACT], "messages": [text_message(message)]})

    def status(endpoint: Endpoint, message: Message) -> Request:
        return signed(endpoint, {"statuses": [status_of(message)]})

    def challenge(token: str, endpoint: Endpoint, message: Message) -> Request:
        query = {"hub.mode": "subscribe", "hub.challenge": message.mark, "hub.verify_token": token}
        return Request(f"{endpoint.url}?{urlencode(query)}", method="GET")

    channel = {
        "type": "meta_whatsapp",
        "signing_secret_ref": APP_SECRET,
        "verify_token_ref": VERIFY_TOKEN,
    }
    return Provider(
        channel="meta_whatsapp",
        trigger_config=asynchronous(channel),
        secrets={APP_SECRET: app_secret, VERIFY_TOKEN: verify_token},
        signature_header=HEADER,
        clients=(Client("the standard library", said),),
        questions=(
            Question("the challenge", lambda *it: challenge(verify_token, *it), is_echo),
            Question(
                "the challenge with a wrong token", lambda *it: challenge("wrong", *it), is_no
            ),
            Question("a status", status, is_taken),
        ),
    )


CONTACT = {"wa_id": "5511999990001", "profile": {"name": "Ana"}}


def notification(change: dict[str, Any]) -> dict[str, Any]:
    metadata = {"display_phone_number": "551140000000", "phone_number_id": "1"}
    value = {"messaging_product": "whatsapp", "metadata": metadata, **change}
    entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def text_message(message: Message) -> dict[str, Any]:
    return {
        "from": CONTACT["wa_id"],
        "id": f"wamid.{message.id}",
        "timestamp": "1700000000",
        "type": "text",
        "text": {"body": message.text},
    }


def status_of(message: Message) -> dict[str, Any]:
    return {
        "id": f"wamid.{message.id}",
        "status": "delivered",
        "timestamp": "1700000000",
        "recipient_id": CONTACT["wa_id"],
    }


def is_echo(message: Message, answer: Answer) -> bool:
    return answer.status == 200 and answer.text() == message.mark


def is_no(message: Message, answer: Answer) -> bool:
    return answer.status == 403 and message.mark not in answer.text()
