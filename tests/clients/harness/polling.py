"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from harness.report import Unmet

PAUSE_SECONDS = 0.1

T = TypeVar("T")


def poll(what: str, seconds: float, look: Callable[[], T | None]) -> T:
    """What `look` finds, as soon as it finds something; `Unmet` if that takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() >= deadline:
            raise Unmet(f"{what}: not within {seconds:.0f} s")
        time.sleep(PAUSE_SECONDS)
