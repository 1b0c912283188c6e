"""Installations for the tests that drive the whole program."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.engines import CONTEXT, ENGINES
from tests.fakes import vulkan_engine
from tests.fakes.a_real_screen import RealDaemon, real_daemon
from tests.fakes.installation import Installation
from tests.llama_cpp_python import require_llama_cpp_python
from tests.mlx_smollm2 import mlx_smollm2
from tests.smollm2 import smollm2


@pytest.fixture
def homes() -> Iterator[Callable[[], Path]]:
    """Make short folders: a Unix socket's path may not be longer than about a hundred bytes."""
    made: list[Path] = []

    def make() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="lll-")))
        return made[-1]

    yield make
    for home in made:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def install(homes: Callable[[], Path]) -> Iterator[Callable[..., Installation]]:
    """Make installations; whatever they leave behind is ended."""
    made: list[Installation] = []

    def make(**environment: str) -> Installation:
        made.append(Installation(homes(), **environment))
        return made[-1]

    yield make
    for installation in made:
        installation.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Installation]:
    """One that serves the embedded model, for tests that leave it as it is."""
    with tempfile.TemporaryDirectory(prefix="lll-") as home:
        installation = Installation(Path(home))
        installation.ok("up", "--context", "512")  # a small model rambles: this is its bound
        yield installation
        installation.close()


@pytest.fixture(scope="session", params=ENGINES)
def engine_served(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """SmolLM2 on one engine, on the processor; all tests of an engine share one."""
    engine: str = request.param
    if engine == "llama-cpp-python":
        require_llama_cpp_python()
    with tempfile.TemporaryDirectory(prefix="lll-") as home:
        here = Installation(Path(home))
        if engine == "llama-server":
            here.configure(f'llama_server = "{vulkan_engine.program()}"\n')
        model = mlx_smollm2() if engine == "mlx" else smollm2()
        here.ok("up", str(model), "--engine", engine, "--context", str(CONTEXT), within_s=300)
        yield here
        here.close()


@pytest.fixture(scope="module")
def shared_daemon() -> Iterator[RealDaemon]:
    """For tests of the screen: they may switch models, and each begins with the small one."""
    with real_daemon() as running:
        yield running
