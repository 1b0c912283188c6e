"""One engine process as its LaunchSpec says, for tests that ask it over HTTP."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from localllm.engines.base import LaunchSpec
from tests.engine_link import EngineLink

_LOOK_S = 0.05


@contextmanager
def running(spec: LaunchSpec, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start it, wait until it is healthy, and end it with the block."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            spec.argv, env={**os.environ, **spec.env}, stdout=file, stderr=file
        )
    try:
        while not _is_healthy(spec):
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(_LOOK_S)
                pytest.fail(log.read_text(errors="replace"))
        yield process
    finally:
        process.terminate()
        process.wait()


def _is_healthy(spec: LaunchSpec) -> bool:
    try:
        with closing(EngineLink(spec.endpoint)) as connection:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
    except OSError:
        return False
