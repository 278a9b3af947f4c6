"""What the checks have to know about a provider."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.management import Endpoint
from harness.web import Answer, Request


@dataclass(frozen=True)
class Message:
    """What a person writes, or what happens, at the provider."""

    # The provider's own name for it, which its retries share.
    id: str
    # Occurs once in the text, and in no other message.
    mark: str
    # Seconds since 1970. A retry is signed anew.
    signed_at: int

    @classmethod
    def fresh(cls, signed_at: int) -> Message:
        return cls(secrets.token_hex(16), secrets.token_hex(8), signed_at)

    @property
    def text(self) -> str:
        """Has what form fields escape, and what is more than one byte in UTF-8."""
        return f"Olá ✓ 1+1=2, 50% & {self.mark}"

    def signed(self, later: int) -> Message:
        """The same message, signed so many seconds later."""
        return replace(self, signed_at=self.signed_at + later)


Sign = Callable[[Endpoint, Message], Request]


@dataclass(frozen=True)
class Client:
    """A library that sends in the provider's name."""

    name: str
    sign: Sign


@dataclass(frozen=True)
class Question:
    """A request that is answered at once and starts nothing."""

    name: str
    ask: Sign
    is_answer: Callable[[Message, Answer], bool]


@dataclass(frozen=True)
class Provider:
    """A kind of channel, and those who send to it."""

    # As in `channel.type`.
    channel: str
    trigger_config: Mapping[str, Any]
    # Tenant secrets that the configuration names.
    secrets: Mapping[str, str]
    signature_header: str
    clients: tuple[Client, ...]
    # Whether what is signed has a time, and is refused when it is old.
    has_time: bool = False
    questions: tuple[Question, ...] = field(default=())


def asynchronous(channel: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A configuration whose sender is only told that the message was taken."""
    return {"channel": dict(channel), "execution": {"mode": "async"}, **more}


def json_body(value: Any) -> str:
    """JSON as providers send it: compact, and with its characters unescaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_request(url: str, body: str, headers: Mapping[str, str]) -> Request:
    return Request(url, {"Content-Type": "application/json", **headers}, body.encode())


def is_taken(_: Message, answer: Answer) -> bool:
    return 200 <= answer.status < 300
