"""mlx-lm's worker with SmolLM2 in a process of its own, for tests that ask it over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from localllm.engines.base import Endpoint, LaunchSpec, Sampling, Serving
from localllm.engines.mlx import Mlx
from tests.engine_link import EngineLink
from tests.mlx_smollm2 import mlx_smollm2
from tests.unit.engines.a_serving import on_processor

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def serving(**more: Any) -> Serving:
    plain = {
        "model_file": mlx_smollm2(),
        "context": 1024,
        "parallel": 1,
        "micro_batch": 16,
        "host_cache_bytes": 0,
        "sampling": Sampling(temperature=0.0),
    }
    return on_processor(**{**plain, **more})


@dataclass(frozen=True)
class Worker:
    endpoint: Endpoint
    log: Path
    process: subprocess.Popen[bytes]

    @contextmanager
    def asked(self, path: str, body: Any, key: str | None = None) -> Iterator[HTTPResponse]:
        """Leave the block to leave the worker, at any place of its answer."""
        key = key or self.endpoint.key
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        with closing(EngineLink(self.endpoint)) as connection:
            connection.request("POST", path, json.dumps(body), headers)
            yield connection.getresponse()

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        with self.asked(path, body) as answer:
            document: dict[str, Any] = json.loads(answer.read())
            assert answer.status == 200, document
            return document

    def refusal(self, path: str, status: int = 400, **body: Any) -> dict[str, Any]:
        with self.asked(path, body) as answer:
            document = json.loads(answer.read())
            assert answer.status == status, document
            return dict(document["error"])

    def stream(self, path: str, **body: Any) -> list[dict[str, Any]]:
        with self.asked(path, {**body, "stream": True}) as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            *events, last = answer.read().split(b"\n\n")[:-1]
        assert last == b"data: [DONE]"
        return [json.loads(event.removeprefix(b"data: ")) for event in events]

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        with closing(EngineLink(self.endpoint)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def is_listening(self) -> bool:
        try:
            return self.get("/health") == (200, {"status": "ok"})
        except OSError:
            return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def spec_of(serving: Serving, endpoint: Endpoint) -> LaunchSpec:
    engine = Mlx(dict(os.environ))
    found = engine.find()
    assert found.reason is None, f"{found.reason}: scripts/test installs mlx-lm[cpu]"
    return engine.launch(found, serving, endpoint)


@contextmanager
def running(serving: Serving, endpoint: Endpoint, folder: Path) -> Iterator[Worker]:
    spec, log = spec_of(serving, endpoint), folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            spec.argv, env={**os.environ, **spec.env}, stdout=output, stderr=output
        )
    worker = Worker(endpoint, log, process)
    try:
        while not worker.is_listening():
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
        yield worker
    finally:
        process.terminate()
        process.wait()
