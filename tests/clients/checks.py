"""What is asked of every provider: what its libraries sign is taken, once, and nothing else is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from harness.management import Endpoint, Execution, Management
from harness.polling import poll
from harness.report import Report, Unmet
from harness.web import Answer, Gateway, Request
from providers.provider import Client, Message, Provider, Question

# More than the five minutes that providers' libraries allow.
OLD_SECONDS = 600
# All that was taken has its answer by then; the agent only repeats what it is told.
ANSWERED_WITHIN_SECONDS = 60.0


@dataclass
class Conversation:
    """What was sent to the trigger of one provider."""

    provider: Provider
    endpoint: Endpoint
    gateway: Gateway
    report: Report
    # The messages that were taken, by the client that sent them.
    taken: dict[str, Message] = field(default_factory=dict)

    def hold(self) -> None:
        """Sends everything, the wrong requests first: they had the most time to start something."""
        for question in self.provider.questions:
            self._ask(question)
        for client in self.provider.clients:
            self._tamper(client)
        for client in self.provider.clients:
            self._send(client)

    def check_executions(self, management: Management) -> None:
        """Expects one execution for each message that was taken, and no other."""
        with self._check("each message that was taken is there once, and nothing else is"):
            executions = poll(
                f"{len(self.taken)} successful executions",
                ANSWERED_WITHIN_SECONDS,
                lambda: self._ended(management.executions(self.endpoint)),
            )
            for name, message in self.taken.items():
                n_found = sum(message.text in execution.text for execution in executions)
                if n_found != 1:
                    texts = [execution.text for execution in executions]
                    raise Unmet(f"{name}: {message.text!r} is {n_found} times in {texts}")

    def _ended(self, executions: list[Execution]) -> list[Execution] | None:
        if len(executions) > len(self.taken):
            texts = [execution.text for execution in executions]
            raise Unmet(f"{len(self.taken)} messages became {len(executions)} executions: {texts}")
        all_ended = all(execution.status == "success" for execution in executions)
        return executions if all_ended and len(executions) == len(self.taken) else None

    def _ask(self, question: Question) -> None:
        message = Message.fresh(now())
        with self._check(f"{question.name} is answered"):
            answer = self.gateway.send(question.ask(self.endpoint, message))
            if not question.is_answer(message, answer):
                raise Unmet(str(answer))

    def _tamper(self, client: Client) -> None:
        for name, request in self._tampered(client):
            with self._check(f"{client.name}: {name} is refused"):
                expect_refused(self.gateway.send(request))

    def _tampered(self, client: Client) -> Iterator[tuple[str, Request]]:
        header = self.provider.signature_header
        message = Message.fresh(now())
        request = client.sign(self.endpoint, message)
        yield "a tampered body", tampered_body(request, message)
        yield "a tampered signature", tampered_header(request, header)
        yield "a missing signature", request.without_header(header)
        if self.provider.has_time:
            old = Message.fresh(now() - OLD_SECONDS)
            yield "one that is ten minutes old", client.sign(self.endpoint, old)

    def _send(self, client: Client) -> None:
        message = Message.fresh(now())
        with self._check(f"{client.name}: what it signs is accepted"):
            first = self.gateway.send(client.sign(self.endpoint, message))
            if not 200 <= first.status < 300:
                raise Unmet(str(first))
            self.taken[client.name] = message
        if client.name not in self.taken:
            return
        with self._check(f"{client.name}: a retry gets the same answer"):
            retry = self.gateway.send(client.sign(self.endpoint, message.signed(later=1)))
            if retry != first:
                raise Unmet(f"{retry}, and before {first}")

    def _check(self, name: str) -> AbstractContextManager[None]:
        return self.report.check(f"{self.provider.channel}: {name}")


def begin(
    provider: Provider, management: Management, gateway: Gateway, report: Report
) -> Conversation | None:
    """Makes the provider's secrets and its trigger; nothing can be checked without them."""
    with report.check(f"{provider.channel}: the trigger is saved"):
        for name, value in provider.secrets.items():
            management.keep_secret(name, value)
        config = dict(provider.trigger_config)
        endpoint = management.create_trigger(provider.channel, config)
        return Conversation(provider, endpoint, gateway, report)
    return None


def now() -> int:
    return int(time.time())


def tampered_body(request: Request, message: Message) -> Request:
    """Another text, of the same length and as well-formed, under the same signature."""
    other = "0" * len(message.mark)
    body = request.body.replace(message.mark.encode(), other.encode())
    if body == request.body:
        raise ValueError("the body does not have the message's text")
    return replace(request, body=body)


def tampered_header(request: Request, header: str) -> Request:
    """One character is another one of the same alphabet, be it hexadecimal or base64.

    It is one of the last, which belong to the signature itself, but not one of the very last,
    which in base64 may be padding.
    """
    value = request.headers[header]
    other = "0" if value[-8] != "0" else "1"
    return request.with_header(header, f"{value[:-8]}{other}{value[-7:]}")


def expect_refused(answer: Answer) -> None:
    code = (answer.json() or {}).get("error")
    if answer.status != 401 or code != "invalid_signature":
        raise Unmet(str(answer))
