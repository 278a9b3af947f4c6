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
    """The directory where the scripts are installed beside their libraries."""

    directory: Path

    def sign(self, library: str, **arguments: Any) -> str:
        """What `library` makes of `arguments`: the value of the signature's header."""
        done = self._run("sign.mjs", library, arguments)
        done.check_returncode()
        return done.stdout.decode()

    def verifies(self, library: str, **arguments: Any) -> bool:
        """Whether `library` takes what was signed."""
        done = self._run("verify.mjs", library, arguments)
        if done.returncode not in (0, 1):
            done.check_returncode()
        return done.returncode == 0

    def _run(
        self, script: str, library: str, arguments: dict[str, Any]
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["node", script, library],
            cwd=self.directory,
            input=json.dumps(arguments).encode(),
            stdout=subprocess.PIPE,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
