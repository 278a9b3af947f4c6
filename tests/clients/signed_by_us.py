"""What Recado signs, events and callbacks, is taken by the official libraries, and copies are not."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import standardwebhooks
import svix.webhooks

from harness.management import Endpoint, Management
from harness.npm import Npm
from harness.polling import poll
from harness.receiver import Received, Receiver
from harness.report import Report, Unmet
from harness.web import Gateway
from providers.provider import json_body, json_request

# An execution, an answer, and one retry after five seconds, on a machine that is busy.
ARRIVES_WITHIN_SECONDS = 60.0

EVENTS, CALLBACKS = "/events", "/callbacks"
SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")
LAST_EVENT = "objective_event.assistant_message"
CALLBACK_SECRET = "callback_signing_secret"


@dataclass(frozen=True)
class Library:
    """Somebody's library that checks signatures."""

    name: str
    verifies: Callable[[str, Received], bool]


def check(
    management: Management, gateway: Gateway, receiver: Receiver, npm: Npm, report: Report
) -> None:
    """Has Recado call back and tell of events, and every library check both."""
    secret = fresh_secret()
    with report.check("signed by us: endpoint and trigger are saved"):
        management.keep_secret(CALLBACK_SECRET, secret)
        endpoint = management.create_event_endpoint("clients", receiver.url + EVENTS)
        trigger = management.create_trigger("signed", called_back(receiver.url + CALLBACKS))
        ask(gateway, trigger)
        events = events_until(receiver, lambda them: LAST_EVENT in kinds(them))
        callback = arrived(receiver, CALLBACKS, 1)[0]
        for library in libraries(npm):
            for what, signing_secret, received in [
                *[(f"event {kind}", endpoint.secret, it) for kind, it in kinds(events).items()],
                ("callback", secret, callback),
            ]:
                check_one(report, library, what, signing_secret, received)

        rotated = management.rotate_event_secret(endpoint)
        receiver.refuse_next(EVENTS)
        n_before = len(receiver.received(EVENTS))
        ask(gateway, trigger)
        events = events_until(receiver, lambda them: has_retry(them[n_before:]))[n_before:]
        for library in libraries(npm):
            for age, signing_secret in [("new", rotated.secret), ("old", endpoint.secret)]:
                with report.check(f"{library.name}: after a rotation the {age} secret is good"):
                    expect(all(library.verifies(signing_secret, it) for it in events))


def check_one(report: Report, library: Library, what: str, secret: str, it: Received) -> None:
    with report.check(f"{library.name}: {what} is taken, and a copy that was changed is not"):
        expect(library.verifies(secret, it))
        other_body = Received(it.path, it.headers, it.body.replace(b"o", b"0", 1))
        expect(not library.verifies(secret, other_body))
        other_id = Received(it.path, {**it.headers, "webhook-id": "msg_other"}, it.body)
        expect(not library.verifies(secret, other_id))
        expect(not library.verifies(fresh_secret(), it))


def libraries(npm: Npm) -> list[Library]:
    def by_pypi(webhook: Callable[[str], Any]) -> Callable[[str, Received], bool]:
        def verifies(secret: str, received: Received) -> bool:
            try:
                webhook(secret).verify(received.body, signed_headers(received))
            except (
                standardwebhooks.WebhookVerificationError,
                svix.webhooks.WebhookVerificationError,
            ):
                return False
            return True

        return verifies

    def by_npm(library: str) -> Callable[[str, Received], bool]:
        def verifies(secret: str, received: Received) -> bool:
            headers, body = signed_headers(received), received.body.decode()
            return npm.verifies(library, secret=secret, headers=headers, body=body)

        return verifies

    return [
        Library("standardwebhooks of PyPI", by_pypi(standardwebhooks.Webhook)),
        Library("svix of PyPI", by_pypi(svix.webhooks.Webhook)),
        Library("standardwebhooks of npm", by_npm("standardwebhooks")),
        Library("svix of npm", by_npm("svix")),
    ]


def called_back(url: str) -> dict[str, Any]:
    return {
        "auth": {"type": "none"},
        "query_extraction": {"mode": "field", "field": "text"},
        "execution": {
            "mode": "async",
            "callback": {
                "url": url,
                "auth": {
                    "type": "hmac",
                    "secret_ref": CALLBACK_SECRET,
                    "format": "standard_webhooks",
                },
            },
        },
    }


def ask(gateway: Gateway, trigger: Endpoint) -> None:
    answer = gateway.send(json_request(trigger.url, json_body({"text": "hello world"}), {}))
    if not 200 <= answer.status < 300:
        raise Unmet(str(answer))


def events_until(
    receiver: Receiver, is_enough: Callable[[list[Received]], bool]
) -> list[Received]:
    def look() -> list[Received] | None:
        events = receiver.received(EVENTS)
        return events if is_enough(events) else None

    return poll("the events", ARRIVES_WITHIN_SECONDS, look)


def arrived(receiver: Receiver, path: str, n: int) -> list[Received]:
    def look() -> list[Received] | None:
        received = receiver.received(path)
        return received if len(received) >= n else None

    return poll(f"{n} requests to {path}", ARRIVES_WITHIN_SECONDS, look)


def kinds(events: list[Received]) -> dict[str, Received]:
    return {json.loads(it.body)["type"]: it for it in events}


def has_retry(events: list[Received]) -> bool:
    """Whether one of them came twice, under the same id, and the last of the execution did too."""
    ids = [it.headers["webhook-id"] for it in events]
    return len(set(ids)) < len(ids) and LAST_EVENT in kinds(events)


def signed_headers(received: Received) -> dict[str, str]:
    return {name: received.headers.get(name, "") for name in SIGNED}


def fresh_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def expect(holds: bool) -> None:
    if not holds:
        raise Unmet("the library says otherwise")
