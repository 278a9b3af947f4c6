"""The libraries that are written in JavaScript, each call in a process of its own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Npm:
    """The directory where `sign.mjs` is installed beside its libraries."""

    directory: Path

    def sign(self, library: str, **arguments: Any) -> str:
        """What `library` makes of `arguments`: the value of the signature's header."""
        done = subprocess.run(
            ["node", "sign.mjs", library],
            cwd=self.directory,
            input=json.dumps(arguments).encode(),
            stdout=subprocess.PIPE,
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
        return done.stdout.decode()
