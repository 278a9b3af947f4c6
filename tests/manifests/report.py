"""What was checked, by which tool, how many, and what is wrong with it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Outcome:
    """One line of the table. A check that looked at nothing has failed."""

    what: str
    tool: str
    count: int
    complaints: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.complaints and self.count > 0


class Report:
    """The checks of one run."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def add(self, what: str, tool: str, count: int, complaints: list[str]) -> None:
        if count == 0 and not complaints:
            complaints = ["there is nothing to check"]
        self.outcomes.append(Outcome(what, tool, count, complaints))

    @contextmanager
    def looking_at(self, what: str) -> Iterator[None]:
        """A check that meets a shape that it does not know has failed; the others go on."""
        try:
            yield
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            complaint = (
                f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
            )
            self.add(what, "our own", 1, [complaint])

    def close(self) -> bool:
        """Prints the complaints and the table; whether all is well."""
        failed = [outcome for outcome in self.outcomes if not outcome.holds]
        for outcome in failed:
            print(f"{outcome.what}:")
            for complaint in outcome.complaints:
                print("  * " + complaint.strip().replace("\n", "\n    "))
            print()
        rows: list[tuple[Any, ...]] = [("what", "checked by", "how many", "")]
        rows += [
            (it.what, it.tool, it.count, "ok" if it.holds else "FAILED") for it in self.outcomes
        ]
        widths = [max(len(str(row[column])) for row in rows) for column in range(3)]
        for what, tool, count, verdict in rows:
            print(f"{what:<{widths[0]}}  {tool:<{widths[1]}}  {count!s:>{widths[2]}}  {verdict}")
        print(f"\n{len(self.outcomes) - len(failed)} checks hold, {len(failed)} failed", flush=True)
        return not failed
