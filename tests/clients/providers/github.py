"""GitHub: an HMAC over the body, here with the secret that Recado made for the trigger."""

from __future__ import annotations

from harness.management import Endpoint
from harness.npm import Npm
from harness.web import Request
from providers.provider import Client, Message, Provider, asynchronous, json_body, json_request

HEADER = "X-Hub-Signature-256"


def provider(npm: Npm) -> Provider:
    def commented(endpoint: Endpoint, message: Message) -> Request:
        body = json_body(comment(message))
        signature = npm.sign("@octokit/webhooks-methods", secret=endpoint.webhook_secret, body=body)
        delivery = {"X-GitHub-Event": "issue_comment", "X-GitHub-Delivery": message.id}
        return json_request(endpoint.url, body, {**delivery, HEADER: signature})

    return Provider(
        channel="github",
        trigger_config=asynchronous(
            {"type": "github"},
            query_extraction={"mode": "field", "field": "comment.body"},
        ),
        secrets={},
        signature_header=HEADER,
        clients=(Client("@octokit/webhooks-methods of npm", commented),),
    )


def comment(message: Message) -> dict[str, object]:
    return {
        "action": "created",
        "issue": {"number": 7, "title": "Mundo"},
        "comment": {"id": 1_700_000_001, "body": message.text, "user": {"login": "ana"}},
        "repository": {"id": 1_700_000_002, "full_name": "ana/mundo"},
        "sender": {"login": "ana", "type": "User"},
    }
