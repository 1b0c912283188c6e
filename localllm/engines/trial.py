"""Proves a build: it loads a tiny model on a device, answers a prompt, and says where the model is.

What only shows when something is computed shows here, and not after a download of 40 GB: a build
without this card's code, a driver too old, a library that is missing, a processor too old.
"""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from localllm.engines.base import Endpoint, Engine, EngineDevice, Installed, Serving
from localllm.engines.diagnosis import diagnose
from localllm.engines.load_log import misplaced, parse_load_log
from localllm.engines.tied import kill_tied, start_tied
from localllm.errors import EngineUnusable
from localllm.units import how_it_ended

MODEL = "trial.gguf"
_LAYERS = 3
"""Of the trial model: two blocks and what comes after them."""

_DEADLINE_S = 300.0
"""Code that a card's driver has to translate first takes minutes, once."""

_LOOK_EVERY_S, _ANSWER_WITHIN_S = 0.05, 120.0
_SHOWN_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Trial:
    """An engine on one device."""

    engine: Engine
    found: Installed
    device: EngineDevice | None
    """None: the processor."""

    @property
    def place(self) -> str:
        return "the processor" if self.device is None else self.device.description

    def serving(self, model: Path) -> Serving:
        return Serving(
            model_file=model,
            file_bytes=model.stat().st_size,
            alias="trial",
            context=256,
            parallel=1,
            kv_type="f16",
            micro_batch=64,
            threads=2,
            host_cache_bytes=0,
            devices=() if self.device is None else (self.device,),
            split=() if self.device is None else (_LAYERS,),
            layers=_LAYERS,
        )


def prove(trial: Trial, model: Path, environment: Mapping[str, str]) -> None:
    """Run it, and end it again.

    Args:
        model: The trial model's file.

    Raises:
        EngineUnusable: It does not start, does not answer, or computes elsewhere.
    """
    serving = trial.serving(model)
    endpoint = Endpoint(port=_free_port(), key=secrets.token_hex(16))
    spec = trial.engine.launch(trial.found, serving, endpoint)
    with tempfile.TemporaryFile() as log:
        child = start_tied(spec.argv, {**environment, **spec.env}, log)
        try:
            failed = _watch(child, endpoint)
        finally:
            kill_tied(child)
            child.communicate()
        said = _text(log)
    wrong = failed or misplaced(parse_load_log(said), serving)
    if wrong is not None:
        raise _unusable(trial, wrong, said)


def _watch(child: subprocess.Popen[str], endpoint: Endpoint) -> str | None:
    """Wait until it is ready, and have it answer; say what failed, None if nothing did."""
    deadline = time.monotonic() + _DEADLINE_S
    while not _is_healthy(endpoint):
        if (code := child.poll()) is not None:
            return how_it_ended(code)
        if time.monotonic() > deadline:
            return f"it was not ready within {_DEADLINE_S:.0f} s"
        time.sleep(_LOOK_EVERY_S)
    try:
        status, answer = _ask(endpoint, "POST", "/v1/completions", _PROMPT)
    except (OSError, http.client.HTTPException) as error:
        return how_it_ended(child.wait()) if _has_ended(child) else f"it does not answer: {error}"
    return None if status == http.HTTPStatus.OK else f"it answers with {status}: {answer[:200]}"


_PROMPT = json.dumps({"prompt": "a trial", "max_tokens": 4})
"""No chat: what random weights say is not always what a chat's parser takes."""


def _has_ended(child: subprocess.Popen[str]) -> bool:
    """Give it a moment: its connections break before it is gone."""
    try:
        child.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        return False
    return True


def _is_healthy(endpoint: Endpoint) -> bool:
    try:
        return _ask(endpoint, "GET", "/health", None)[0] == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


def _ask(endpoint: Endpoint, method: str, path: str, body: str | None) -> tuple[int, str]:
    assert endpoint.port is not None
    link = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=_ANSWER_WITHIN_S)
    headers = {"Authorization": f"Bearer {endpoint.key}", "Content-Type": "application/json"}
    with closing(link):
        link.request(method, path, body, headers)
        answer = link.getresponse()
        return answer.status, answer.read().decode(errors="replace")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _text(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")


def _unusable(trial: Trial, wrong: str, said: str) -> EngineUnusable:
    known = diagnose(f"{said[-_SHOWN_BYTES:]}\n{wrong}")
    lines = said.strip().splitlines()
    last = f"; its last words: {lines[-1].strip()}" if lines else ""
    return EngineUnusable(
        f"{trial.found.engine} {trial.found.version or ''} does not run on {trial.place}.",
        why=f"{known.why} ({wrong})" if known is not None else wrong + last,
        fix=known.fix if known is not None else "localllm engine list shows what else there is",
    )
