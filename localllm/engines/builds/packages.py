"""Installs pinned wheels into a folder: by uv where it is there, else by pip.

Both know the user's index, proxies, certificates and passwords; neither knows the other's
variables, so an index that is named for one is handed to the other.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event, Timer

from localllm.catalog.builds import Package
from localllm.engines.tied import kill_tied, start_tied
from localllm.errors import EngineUnusable, LocalLLMError, NoNetwork, NoSpace, WrongContent

_WITHIN_S = 3 * 3600.0
"""For a gigabyte over a slow line."""

_LATE = f"the installer did not end within {_WITHIN_S / 3600:.0f} h"

_HASH_WORDS = ("do not match the hashes", "hash mismatch")
_NO_SPACE = "no space left on device"
_NO_PIP = "No module named pip"


def install_packages(
    packages: Sequence[Package],
    into: Path,
    environment: Mapping[str, str],
    *,
    find_in: Path | None = None,
    tell: Callable[[str, int, int], None] = lambda *_: None,
    tied: bool = False,
) -> None:
    """Install wheels, each of exactly the pinned hash, without what they depend on.

    Args:
        find_in: A folder with the wheels, for a machine without network.
        tell: Called before and after each, with its name, the bytes that are here, and all.
        tied: The installer ends with this process, however that ends, and hears no Ctrl-C.

    Raises:
        NoNetwork: The index is out of reach, or has no such file.
        WrongContent: What it has is another file.
        EngineUnusable: There is no installer.
        NoSpace: The disk is too full.
    """
    for package in packages:
        name = f"{package.name} {package.version}"
        tell(name, 0, package.size)
        _install(package, into, environment, find_in, tied=tied)
        tell(name, package.size, package.size)


def _install(
    package: Package,
    into: Path,
    environment: Mapping[str, str],
    find_in: Path | None,
    *,
    tied: bool,
) -> None:
    """Install it into a folder of its own first.

    Pip would not add to a folder that is there, but take its place: `nvidia`, which all wheels
    of NVIDIA have. And it unpacks in TMPDIR first, which may be in memory.
    """
    with tempfile.TemporaryDirectory(dir=into, prefix=".wheel-") as draft:
        content, wanted = Path(draft) / "content", Path(draft) / "wanted.txt"
        wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
        command = [
            *_installer(environment),
            *("--no-deps", "--only-binary", ":all:", "--require-hashes"),
            *("--target", str(content), *_where(package, find_in)),
            *("-r", str(wanted)),
        ]
        run = _run_tied if tied else _run
        said = run(command, {**_translated(environment), "TMPDIR": draft})
        if said is not None:
            raise _failed(package, said)
        _merge(content, into)


def _merge(content: Path, into: Path) -> None:
    """Move files beside those that are there."""
    for file in [path for path in content.rglob("*") if not path.is_dir()]:
        target = into / file.relative_to(content)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)


def _installer(environment: Mapping[str, str]) -> Sequence[str]:
    """Uv, since an environment made by it has no pip; else pip."""
    if (uv := _uv(environment)) is not None:
        return (uv, "pip", "install", "--python", sys.executable)
    return (sys.executable, "-P", "-m", "pip", "install", "--disable-pip-version-check")


def _uv(environment: Mapping[str, str]) -> str | None:
    return shutil.which("uv", path=environment.get("PATH"))


def _where(package: Package, find_in: Path | None) -> Sequence[str]:
    if find_in is not None:
        return ("--no-index", "--find-links", str(find_in))
    return ("--index-url", package.index) if package.index else ()


def _translated(environment: Mapping[str, str]) -> dict[str, str]:
    """What is said to one installer, said to the other; never by flags, which everybody can read."""
    for_uv = environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL")
    for_pip = environment.get("PIP_INDEX_URL")
    authority = environment.get("REQUESTS_CA_BUNDLE") or environment.get("CURL_CA_BUNDLE")
    said = dict(environment)
    if for_pip and not for_uv:
        said["UV_DEFAULT_INDEX"] = for_pip
    if for_uv and not for_pip:
        said["PIP_INDEX_URL"] = for_uv
    if authority and not environment.get("SSL_CERT_FILE"):
        said["SSL_CERT_FILE"] = authority
    return {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", **said}


def _run(command: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Run it; return what it said if it failed. On a terminal pip's progress is seen there."""
    shown = sys.stderr if sys.stderr.isatty() else subprocess.PIPE
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=shown,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=_WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        return _LATE
    return None if done.returncode == 0 else done.stderr.strip()


def _run_tied(command: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """As `_run`, but nothing of it outlives this process; nobody sees its progress."""
    late = Event()

    def end() -> None:
        late.set()
        kill_tied(child)

    with start_tied(command, environment, subprocess.DEVNULL, subprocess.PIPE) as child:
        timer = Timer(_WITHIN_S, end)
        timer.start()
        assert child.stderr is not None, "it is a pipe"
        said = child.stderr.read()
        timer.cancel()
        timer.join()
        code = child.wait()
    if late.is_set():
        return _LATE
    return None if code == 0 else said.strip()


def _failed(package: Package, said: str) -> LocalLLMError:
    lines = [line for line in said.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else "the installer gave no reason"
    name = f"{package.name} {package.version}"
    if any(word in said.lower() for word in _HASH_WORDS):
        return WrongContent(
            f"{name} is not what it should be.",
            why=f"the index has a file whose SHA-256 is not {package.sha256}",
            fix="do not use it; see whether the index in between changes files",
        )
    what = f"{name} could not be installed."
    if _NO_SPACE in said.lower():
        return NoSpace(
            what, why=last, fix="free some space, or let LOCALLLM_HOME name another disk"
        )
    if _NO_PIP in said:
        why = "there is neither uv nor pip here"
        return EngineUnusable(what, why=why, fix="install uv, or pip into localllm's environment")
    return NoNetwork(
        what,
        why=last,
        fix="connect to the network, or name an index that has it in PIP_INDEX_URL",
    )
