"""Every provider: how its own libraries sign, and how a trigger for it is configured."""

from __future__ import annotations

from harness.npm import Npm
from providers import github, meta, slack, standard_webhooks, stripe, teams, twilio
from providers.provider import Provider


def every(npm: Npm) -> list[Provider]:
    """All of them, each with secrets that are made anew."""
    return [
        twilio.whatsapp(npm),
        twilio.sms(npm),
        slack.provider(),
        github.provider(npm),
        stripe.provider(npm),
        standard_webhooks.provider(npm),
        standard_webhooks.svix_provider(npm),
        meta.provider(),
        teams.provider(),
    ]
