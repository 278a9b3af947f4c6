"""WhatsApp and SMS through Twilio: a signature over the public URL and the fields of a form, or
over the URL with the hash of a JSON body in it."""

from __future__ import annotations

import secrets
from urllib.parse import urlencode, urlsplit

from twilio.request_validator import RequestValidator, add_port

from harness.management import Endpoint
from harness.npm import Npm
from harness.web import Request
from providers.provider import (
    Client,
    Message,
    Provider,
    Question,
    Sign,
    asynchronous,
    is_taken,
    json_body,
    json_request,
)

HEADER = "X-Twilio-Signature"


def whatsapp(npm: Npm) -> Provider:
    return provider(npm, "twilio_whatsapp", "whatsapp:")


def sms(npm: Npm) -> Provider:
    return provider(npm, "twilio_sms", "")


def provider(npm: Npm, channel: str, prefix: str) -> Provider:
    account, token = f"AC{secrets.token_hex(16)}", secrets.token_hex(16)
    secret = f"{channel}_credential"
    auth = {"type": "basic", "secret_ref": secret}
    validator = RequestValidator(token)

    def fields_of(message: Message) -> dict[str, str]:
        return fields(account, prefix, message)

    def form(endpoint: Endpoint, message: Message) -> Request:
        sent = fields_of(message)
        return posted(endpoint.url, sent, validator.compute_signature(endpoint.url, sent))

    def form_signed_with_port(endpoint: Endpoint, message: Message) -> Request:
        sent = fields_of(message)
        url = add_port(urlsplit(endpoint.url))
        return posted(endpoint.url, sent, validator.compute_signature(url, sent))

    def form_from_npm(endpoint: Endpoint, message: Message) -> Request:
        sent = fields_of(message)
        signature = npm.sign("twilio", secret=token, url=endpoint.url, fields=sent)
        return posted(endpoint.url, sent, signature)

    def json(endpoint: Endpoint, message: Message) -> Request:
        body = json_body(fields_of(message))
        url = f"{endpoint.url}?bodySHA256={validator.compute_hash(body)}"
        return json_request(url, body, {HEADER: validator.compute_signature(url, {})})

    return Provider(
        channel=channel,
        trigger_config=asynchronous({"type": channel, "auth": auth}),
        secrets={secret: f"{account}:{token}"},
        signature_header=HEADER,
        clients=(
            Client("twilio of PyPI, a form", form),
            Client("twilio of PyPI, a form signed with the port", form_signed_with_port),
            Client("twilio of PyPI, JSON", json),
            Client("twilio of npm, a form", form_from_npm),
        ),
        questions=(Question("a delivery report", report(account, validator), is_taken),),
    )


def fields(account: str, prefix: str, message: Message) -> dict[str, str]:
    return {
        "AccountSid": account,
        "ApiVersion": "2010-04-01",
        "Body": message.text,
        "From": f"{prefix}+5511999990001",
        "MessageSid": f"SM{message.id}",
        "NumMedia": "0",
        "NumSegments": "1",
        "SmsStatus": "received",
        "To": f"{prefix}+551140000000",
    }


def report(account: str, validator: RequestValidator) -> Sign:
    def sign(endpoint: Endpoint, message: Message) -> Request:
        sent = {
            "AccountSid": account,
            "MessageSid": f"SM{message.id}",
            "MessageStatus": "delivered",
            "SmsStatus": "delivered",
        }
        return posted(endpoint.url, sent, validator.compute_signature(endpoint.url, sent))

    return sign


def posted(url: str, sent: dict[str, str], signature: str) -> Request:
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        HEADER: signature,
    }
    return Request(url, headers, urlencode(sent).encode())
