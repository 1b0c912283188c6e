"""The fake hub as a process of its own, for those who measure or kill, or want its own processor."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class HubProcess:
    url: str
    storage_url: str
    control_url: str
    pid: int

    def tell(self, **order: object) -> dict[str, Any]:
        """Steer it, and see how things are; see hub_control.py."""
        body = json.dumps(order).encode()
        request = urllib.request.Request(self.control_url, body, method="POST")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            told: dict[str, Any] = json.load(answer)
            return told


@contextmanager
def hub_process(root: Path) -> Iterator[HubProcess]:
    """Serve the repositories in a folder, each of them in one that is named owner--name."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.hub", str(root)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            yield HubProcess(**told, pid=process.pid)
        finally:
            process.terminate()
