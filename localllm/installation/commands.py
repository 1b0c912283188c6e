"""What an installer is told, for each way in which localllm came here. Pure: words alone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from localllm.installation.method import NAME, Installed, Method

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a version is taken from; all None: where the installer looks by itself."""

    index: str | None = None
    """The address of a package index."""

    folder: Path | None = None
    """A folder with wheels; other packages still come from the index."""

    wheel: Path | None = None
    """The program itself."""

    @property
    def without_wheel(self) -> Source:
        return replace(self, wheel=None)


def requirement(installed: Installed, version: str | None, source: Source) -> str:
    """Name what is wanted, with the extras that are here; without a version the newest.

    Source: PEP 508.
    """
    extras = f"[{','.join(installed.extras)}]" if installed.extras else ""
    if source.wheel is not None:
        return f"{NAME}{extras} @ {source.wheel.absolute().as_uri()}"
    return f"{NAME}{extras}" + ("" if version is None else f"=={version}")


def fetch(installed: Installed, wanted: Sequence[str], into: Path, source: Source) -> Words:
    """Bring packages into a folder, without what they need; what was asked of an index stays cached."""
    return (
        *(*_plain_install(installed), "--no-deps", "--only-binary", NAME),
        *("--upgrade", "--target", str(into)),
        *(*_sources(source, has_uv=installed.by_uv), *wanted),
    )


def rehearse(installed: Installed, wanted: Sequence[str], source: Source) -> Words:
    """Have the installer say what it would change: uv in lines, pip as a report in JSON."""
    report = () if installed.by_uv else ("--quiet", "--report", "-")
    return (
        *(*_plain_install(installed), "--dry-run", *report),
        *(*_sources(source, has_uv=installed.by_uv), *wanted),
    )


def install(installed: Installed, wanted: str, source: Source) -> Words:
    """Put another version of the program in the place of this one."""
    match installed.method:
        case Method.UV_TOOL:
            beside = [each for other in installed.beside for each in ("--with", other)]
            return ("uv", "tool", "install", *_sources(source, has_uv=True), *beside, wanted)
        case Method.PIPX:
            where = shlex.join(_sources(source, has_uv=False))
            given = (f"--pip-args={where}",) if where else ()
            return ("pipx", "install", "--force", *given, wanted)
        case _:
            sources = _sources(source, has_uv=installed.by_uv)
            return (*_plain_install(installed), *sources, wanted)


def put_back(installed: Installed, wheels: Sequence[Path]) -> Words:
    """Put these very packages into the program's environment; asks no index."""
    exactly = ("--no-deps", "--no-index", "--force-reinstall")
    return (*_plain_install(installed), *exactly, *(str(wheel.absolute()) for wheel in wheels))


def remove(installed: Installed) -> str:
    """Say how the program itself is removed."""
    match installed.method:
        case Method.UV_TOOL:
            return f"uv tool uninstall {NAME}"
        case Method.PIPX:
            return f"pipx uninstall {NAME}"
        case Method.PIP:
            return shlex.join((installed.python, "-m", "pip", "uninstall", NAME))
        case Method.UV_PIP:
            return shlex.join(("uv", "pip", "uninstall", "--python", installed.python, NAME))
        case Method.CHECKOUT:
            return f"deleting its checkout, {installed.folder}"
        case Method.SYSTEM:
            return f"the system's package manager, which has installed {NAME}"


def by_hand(installed: Installed) -> str:
    """Say how one is brought up to date that no installer of ours may touch."""
    if installed.method is Method.CHECKOUT:
        folder = shlex.quote(str(installed.folder))
        return f"git -C {folder} pull, then localllm up, which replaces the daemon"
    return "the system's package manager, then localllm up, which replaces the daemon"


def _plain_install(installed: Installed) -> Words:
    """Into the environment that it is in, or a folder."""
    if installed.by_uv:
        return ("uv", "pip", "install", "--python", installed.python)
    return (installed.python, "-P", "-m", "pip", "install", "--disable-pip-version-check")


def _sources(source: Source, *, has_uv: bool) -> Words:
    words: list[str] = []
    if source.folder is not None:
        words += ["--find-links", str(source.folder.absolute())]
    if source.index is not None:
        words += ["--default-index" if has_uv else "--index-url", source.index]
    return tuple(words)
