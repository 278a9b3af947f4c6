"""`recado dev` in a directory of its own, on free ports, for as long as it is needed."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.polling import poll
from harness.report import Unmet

# Three servers and six roles, on a machine that is busy.
UP_WITHIN_SECONDS = 120.0
DOWN_WITHIN_SECONDS = 60.0
# What the providers are told. Nobody resolves it: the gateway is a part of this program.
PUBLIC_URL = "https://recado.example.test/hooks"
SHOWN_LOG_LINES = 30


@dataclass(frozen=True)
class Installation:
    """Where everything is, from `dev.json`."""

    ingress_url: str
    management_url: str
    jwt: str
    agent_id: str
    tenant_id: str
    project_id: str
    operator_jwt: str
    public_url: str = PUBLIC_URL


@contextmanager
def running(recado: Path) -> Iterator[Installation]:
    """Runs the program `recado` with `dev`; however the block ends, it and its data are gone.

    `Unmet` if it does not start, or does not end, as it should.
    """
    # Servers that had to be killed may still be writing while their data is removed.
    with tempfile.TemporaryDirectory(
        prefix="recado-clients-", ignore_cleanup_errors=True
    ) as scratch:
        data, log = Path(scratch, "data"), Path(scratch, "log")
        secret = secrets.token_urlsafe(32)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [recado, "dev", "--data-dir", data],
                env=environment(secret),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield ready(process, data / "dev.json", operator_token(recado, secret))
        except Exception:
            show_end_of(log)
            raise
        finally:
            code = end(process)
        if code != 0:
            raise Unmet(f"recado dev ended with {code}")


def environment(jwt_secret: str) -> dict[str, str]:
    """Ours, but for settings of Recado: the installation is to be a private one."""
    inherited = {name: it for name, it in os.environ.items() if not name.startswith("RECADO_")}
    return inherited | {
        "RECADO_INGRESS_LISTEN": "127.0.0.1:0",
        "RECADO_MANAGEMENT_LISTEN": "127.0.0.1:0",
        "RECADO_METRICS_LISTEN": "127.0.0.1:0",
        "RECADO_PUBLIC_URL": PUBLIC_URL,
        "RECADO_JWT_SECRET": jwt_secret,
        # One credential, and one address, asks for everything that is asked here.
        "RECADO_MANAGEMENT_RATE_PER_MINUTE": "1000000",
        "RECADO_MANAGEMENT_FAILURES_PER_MINUTE": "0",
    }


def operator_token(recado: Path, secret: str) -> str:
    done = subprocess.run(
        [recado, "token", "--role", "operator"],
        env=environment(secret),
        stdout=subprocess.PIPE,
        timeout=DOWN_WITHIN_SECONDS,
        check=True,
    )
    return done.stdout.decode().strip()


def ready(
    process: subprocess.Popen[bytes], ready_file: Path, operator_jwt: str
) -> Installation:
    def facts() -> dict[str, str] | None:
        if process.poll() is not None:
            raise Unmet(f"recado dev ended at once, with {process.returncode}")
        try:
            found: dict[str, str] = json.loads(ready_file.read_bytes())
            return found
        except FileNotFoundError:
            return None

    announced = poll("dev.json", UP_WITHIN_SECONDS, facts)
    names = ("ingress_url", "management_url", "jwt", "agent_id", "tenant_id", "project_id")
    return Installation(**{name: announced[name] for name in names}, operator_jwt=operator_jwt)


def end(process: subprocess.Popen[bytes]) -> int:
    """Asks it to end, and gives its exit code."""
    process.terminate()
    try:
        return process.wait(DOWN_WITHIN_SECONDS)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.wait()
        raise Unmet("recado dev did not end when asked to") from error


def show_end_of(log: Path) -> None:
    lines = log.read_text(errors="replace").splitlines()
    print("\n".join(["", "The end of its log:", *lines[-SHOWN_LOG_LINES:]]), file=sys.stderr)
