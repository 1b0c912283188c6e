"""Machines that have what this one lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import nvml_stand_in

ROOT = Path(__file__).parents[3]
HIDING = {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "WSL_DISTRO_NAME"}
PROBE = """
import json, msgspec, sys
from pathlib import Path
from localllm.hardware.probe import probe_machine
options = {name: Path(value) for name, value in json.loads(sys.argv[1]).items()}
print(msgspec.json.encode(probe_machine(system="Linux", **options)).decode())
"""
Probe = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nvml_stand_in.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def probe_in(nvml: Path) -> Probe:
    """Probe in a new process on a stand-in machine; its answer as plain JSON.

    Capitals are environment variables, `root` and `profiles` arguments of probe_machine.
    """

    def probe(machine: str, library: Path = nvml, **more: str | Path) -> dict[str, Any]:
        clean = {name: value for name, value in os.environ.items() if name not in HIDING}
        set_here = {name: str(value) for name, value in more.items() if name.isupper()}
        options = {name: str(value) for name, value in more.items() if not name.isupper()}
        told = subprocess.check_output(
            [sys.executable, "-c", PROBE, json.dumps(options)],
            cwd=ROOT,
            env={**clean, **nvml_stand_in.environment(library, machine), **set_here},
            text=True,
        )
        return json.loads(told)

    return probe
