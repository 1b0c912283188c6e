"""Machines with NVIDIA cards for tests: a library that real pynvml loads in place of NVML."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "nvml" / "stand_in.c"
LIBRARY = "libnvidia-ml.so.1"


def build(folder: Path) -> Path:
    """Compile the stand-in into `folder` (made if need be); compiling again is free."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "the NVML stand-in needs a C compiler (Debian: apt install gcc libc6-dev)"
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / LIBRARY
    if not library.exists():
        command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE]
        subprocess.run(command, check=True)
    return folder


def environment(folder: Path, machine: str) -> dict[str, str]:
    """Say what a child process needs, beside its own environment, to be on `machine`.

    The loader reads its path at exec, so only a new process sees the cards. The names
    of machines and more variables are listed in nvml/stand_in.c.
    """
    loader = {"LD_LIBRARY_PATH": str(folder), "DYLD_LIBRARY_PATH": str(folder)}
    return {**loader, "LOCALLLM_TEST_NVML": machine}
