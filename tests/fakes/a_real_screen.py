"""The screen on a real daemon that serves the small model, with a hub on loopback; and who asks it for something."""

from __future__ import annotations

import http.client
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from localllm.api.status_views import InstanceView
from localllm.api.sync_client import require_daemon
from localllm.tui.app import Localllm
from localllm.tui.source import Source
from tests.fakes.a_screen import until_shown
from tests.fakes.hub_process import HubProcess, hub_process
from tests.fakes.installation import Installation, wait_until
from tests.fakes.pressed import Fingers
from tests.smollm2 import smollm2

MODEL = "smollm2-135m-instruct"
CLIENT = "a-person"
REPO = "me/Tiny-GGUF"
PULLED = f"hf:{REPO}:Q4_1"
SIZE = (120, 40)
LOADS_S = 60.0
_UP = ("--context", "1024", "--parallel", "2")

fingers = Fingers()
"""Of all tests that see a real daemon."""


@dataclass(frozen=True, slots=True)
class RealDaemon:
    here: Installation
    hub: HubProcess

    def app(self) -> Localllm:
        """A screen that shows it; it starts none."""
        return Localllm(Source(self.here.state / "daemon.json", lambda: None))

    def models(self) -> dict[str, InstanceView]:
        daemon = require_daemon(self.here.state / "daemon.json")
        return {one.id: one for one in daemon.models()}

    def serve_the_small_model_alone(self) -> None:
        """Whatever is served now, pinned or not."""
        served, daemon = self.models(), require_daemon(self.here.state / "daemon.json")
        for other in served.keys() - {MODEL}:
            daemon.stop(other)
        if MODEL not in served:
            self.here.ok("up", MODEL, *_UP)
        wait_until(lambda: list(self.models()) == [MODEL], "it alone is served")

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Have it generate for as long as the block lasts, or until its context is full."""
        connection = http.client.HTTPConnection("127.0.0.1", self.here.port, timeout=60)
        story = {"role": "user", "content": "Count from one to a thousand, in words."}
        body = {"model": MODEL, "messages": [story], "stream": True, "ignore_eos": True}
        headers = {"Content-Type": "application/json", "User-Agent": f"{CLIENT}/1"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        try:
            assert answer.readline()
            yield
        finally:
            answer.close()
            connection.close()


@contextmanager
def real_daemon() -> Iterator[RealDaemon]:
    """Have one, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="lls-") as folder:
        root = Path(folder)
        repository = root / "hub" / REPO.replace("/", "--")
        repository.mkdir(parents=True)
        shutil.copy(smollm2(), repository / "Tiny-Q4_1.gguf")
        with hub_process(root / "hub") as hub:
            here = Installation(
                root / "h",
                HOME=str(root),
                HF_ENDPOINT=hub.url,
                HF_HOME=str(root / "hf"),
                HF_HUB_CACHE=str(root / "hf" / "hub"),
                HF_TOKEN="",
            )
            try:
                here.ok("up", *_UP)
                yield RealDaemon(here, hub)
            finally:
                here.close()


async def looked(pilot: Pilot[Any]) -> None:
    """Wait for the first look."""
    await until_shown(pilot, "1 Dashboard", MODEL, within_s=LOADS_S)
