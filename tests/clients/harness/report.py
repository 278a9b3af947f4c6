"""Counts what holds and what does not, and prints a line for each."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager


class Unmet(Exception):
    """An expectation that was not met; the text says what there was instead."""


class Report:
    """The checks of one run."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    @contextmanager
    def check(self, name: str) -> Iterator[None]:
        """Counts the block as one check. It fails by `Unmet`, or because no answer came."""
        try:
            yield
        except (Unmet, OSError, http.client.HTTPException) as error:
            self.failed += 1
            reason = str(error) or type(error).__name__
            print(f"FAILED  {name}\n        {reason}", flush=True)
        else:
            self.passed += 1
            print(f"ok      {name}", flush=True)

    def close(self) -> bool:
        """Prints the sums; whether all is well."""
        print(f"\n{self.passed} passed, {self.failed} failed", flush=True)
        return self.failed == 0 and self.passed > 0
