"""An engine for a minute: started, asked a few things, ended again. For trials and benches, not for serving."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, Any

from localllm.engines.base import Endpoint, Engine, Installed, LaunchSpec, Serving
from localllm.engines.tied import kill_tied, start_tied
from localllm.units import how_it_ended

_LOOK_EVERY_S, _ANSWER_WITHIN_S = 0.05, 300.0
_HEALTH_WITHIN_S = 2.0
"""One that takes the question and says nothing is asked again, until its time is over."""


class RunFailed(Exception):
    """The engine ended, was not ready in time, or refused; the text says which."""


@dataclass(frozen=True, slots=True)
class ShortRun:
    """One engine that runs."""

    child: subprocess.Popen[str]
    spec: LaunchSpec
    out: IO[bytes]

    def wait_until_ready(self, within_s: float) -> None:
        """Wait until the model is loaded.

        Raises:
            RunFailed: It ended, or took too long.
        """
        deadline = time.monotonic() + within_s
        while not self._is_healthy():
            if (code := self.child.poll()) is not None:
                raise RunFailed(how_it_ended(code))
            if time.monotonic() > deadline:
                raise RunFailed(f"it was not ready within {within_s:.0f} s")
            time.sleep(_LOOK_EVERY_S)

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Ask for something, and return its answer.

        Raises:
            RunFailed: It ended, or answers with an error.
        """
        try:
            status, answer = self._ask("POST", path, json.dumps(body))
            if status == HTTPStatus.OK:
                return dict(json.loads(answer))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RunFailed(self._how_it_ended() or f"it does not answer: {error}") from error
        raise RunFailed(f"it answers with {status}: {answer[:200]}")

    def log(self) -> str:
        """What it has said so far; without seeking, since its next word would go there."""
        size = os.fstat(self.out.fileno()).st_size
        return os.pread(self.out.fileno(), size, 0).decode(errors="replace")

    def _how_it_ended(self) -> str | None:
        """Give it a moment: its connections break before it is gone."""
        try:
            return how_it_ended(self.child.wait(timeout=1.0))
        except subprocess.TimeoutExpired:
            return None

    def _is_healthy(self) -> bool:
        try:
            return self._ask("GET", "/health", None, _HEALTH_WITHIN_S)[0] == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    def _ask(
        self, method: str, path: str, body: str | None, within_s: float = _ANSWER_WITHIN_S
    ) -> tuple[int, str]:
        assert self.spec.endpoint.port is not None
        link = http.client.HTTPConnection("127.0.0.1", self.spec.endpoint.port, timeout=within_s)
        headers = {
            "Authorization": f"Bearer {self.spec.endpoint.key}",
            "Content-Type": "application/json",
        }
        with closing(link):
            link.request(method, path, body, headers)
            answer = link.getresponse()
            return answer.status, answer.read().decode(errors="replace")


@contextmanager
def short_run(
    engine: Engine, found: Installed, serving: Serving, environment: Mapping[str, str]
) -> Generator[ShortRun]:
    """Start an engine on a port of its own; leaving the block ends all of it."""
    endpoint = Endpoint(port=_free_port(), key=secrets.token_hex(16))
    spec = engine.launch(found, serving, endpoint)
    with tempfile.TemporaryFile() as out:
        child = start_tied(spec.argv, {**environment, **spec.env}, out)
        try:
            yield ShortRun(child, spec, out)
        finally:
            kill_tied(child)
            child.communicate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
