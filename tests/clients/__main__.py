"""Runs Recado, plays every provider with the provider's own libraries, holds the REST API to its
OpenAPI document, and prints what holds."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import checks
import documented
import providers
import signed_by_us
from harness import installation
from harness.installation import Installation
from harness.management import Management
from harness.npm import Npm
from harness.receiver import receiving
from harness.report import Report
from harness.web import Gateway


def main() -> int:
    arguments = parsed_arguments()
    # Whoever ends this program ends what it started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report = Report()
    with report.check("recado dev: it starts, and ends when asked to"):
        with installation.running(arguments.recado) as recado:
            run(recado, Npm(arguments.npm), report)
    return 0 if report.close() else 1


def run(recado: Installation, npm: Npm, report: Report) -> None:
    management = Management(recado)
    gateway = Gateway(recado.public_url, recado.ingress_url)
    begun = [checks.begin(it, management, gateway, report) for it in providers.every(npm)]
    conversations = [it for it in begun if it is not None]
    for conversation in conversations:
        conversation.hold()
    # At the end, when all that was sent has had time to start what it should not.
    for conversation in conversations:
        conversation.check_executions(management)
    with receiving() as receiver:
        signed_by_us.check(management, gateway, receiver, npm, report)
    # The last, because it changes and deletes whatever it finds.
    documented.check(recado, management, report)


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/clients", description=__doc__)
    parser.add_argument("--recado", type=Path, required=True, help="the program to run")
    parser.add_argument("--npm", type=Path, required=True, help="where sign.mjs is installed")
    arguments = parser.parse_args()
    arguments.recado = arguments.recado.resolve()
    return arguments


if __name__ == "__main__":
    sys.exit(main())
