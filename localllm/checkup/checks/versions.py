"""Versions: the daemon's and this program's, Python's, and those with known holes."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence

from localllm import __version__
from localllm.checkup.advisories import Advisory, Installation, concern, read_advisories
from localllm.checkup.finding import Area, Finding, Severity, ok
from localllm.checkup.known import Known
from localllm.config.settings import Settings
from localllm.engines.builds.shelf import Shelf

_A = Area.VERSIONS
_BUILD = re.compile(r"\bbuild (\d+)|version: (\d+) \(")
"""In '0.1.0-dev (build 11549, commit 7e4c0a9)', and in '10434 (7e4c0a9)' as it was before."""

_PYTHON_ENDS = {(3, 11): "2027-10", (3, 12): "2028-10", (3, 13): "2029-10", (3, 14): "2030-10"}
"""The month in which fixes for holes end. Source: devguide.python.org/versions."""


def check_versions(known: Known) -> Iterator[Finding]:
    """The daemon's version, this program's, and Python's."""
    running = known.daemon.get()
    if running is not None and running.file.version != __version__:
        yield Finding(
            "versions.daemon",
            _A,
            Severity.WARNING,
            f"The daemon is of version {running.file.version}, this command of {__version__}.",
            "they may not understand each other; the next localllm up replaces the daemon, and it serves "
            "the same",
            "localllm up",
        )
    else:
        yield ok("versions.localllm", _A, f"localllm is {__version__}.")
    yield _of_python(known.place.now())


def _of_python(now: float) -> Finding:
    version = sys.version_info[:2]
    ends = _PYTHON_ENDS.get(version)
    if ends is not None and time.strftime("%Y-%m", time.gmtime(now)) > ends:
        return Finding(
            "versions.python",
            _A,
            Severity.WARNING,
            f"Python {version[0]}.{version[1]} gets no more fixes since {ends}.",
            "holes that are found in it stay open",
            "uv tool install --python 3.14 --reinstall localllm",
        )
    return ok("versions.python", _A, f"Python is {sys.version.split()[0]}.")


def check_advisories(known: Known) -> Iterator[Finding]:
    """Known holes of what is installed."""
    here, advisories = list(_installed(known)), read_advisories(known.place.profiles)
    reached = False
    for one in here:
        holes = [advisory for advisory in advisories if concern(advisory, one)]
        open_ = [advisory for advisory in holes if advisory.kept_out is None]
        reached = reached or bool(open_)
        yield from (_of_advisory(one, advisory) for advisory in open_)
        yield from _kept_out(one, [advisory for advisory in holes if advisory.kept_out is not None])
    if not reached:
        names = ", ".join(f"{one.name} {one.version}" for one in here)
        yield ok("versions.holes", _A, f"No hole is known that could be reached here ({names}).")


def _of_advisory(one: Installation, advisory: Advisory) -> Finding:
    return Finding(
        "versions.hole",
        _A,
        Severity.WARNING,
        f"{one.name} {one.version} has a known hole: {advisory.id}"
        + (f", fixed in {advisory.fixed}." if advisory.fixed else "; no fix is known."),
        f"{advisory.effect}. Source: {advisory.source}",
        one.update if advisory.fixed is not None else None,
    )


def _kept_out(one: Installation, holes: Sequence[Advisory]) -> Iterator[Finding]:
    """Holes that nothing gets to through localllm, in one note."""
    if holes:
        yield Finding(
            "versions.hole-kept-out",
            _A,
            Severity.NOTE if any(hole.fixed for hole in holes) else Severity.OK,
            f"{one.name} {one.version} has known holes that nothing reaches through localllm: "
            f"{', '.join(hole.id for hole in holes)}.",
            "; ".join(dict.fromkeys(hole.kept_out for hole in holes if hole.kept_out)),
            one.update if any(hole.fixed for hole in holes) else None,
        )


def _installed(known: Known) -> Iterator[Installation]:
    """What is here of what may have holes: packages beside us, and builds of engines that are in use."""
    for name in ("aiohttp", "huggingface_hub", "mlx", "mlx-lm", "llama-cpp-python", "xllamacpp"):
        version = _version(name)
        if version is not None:
            yield Installation(name, version, "localllm upgrade")
    for shelved in Shelf(known.place.paths.engines).builds():
        build = shelved.build
        if shelved.in_use:
            yield Installation(build.engine, build.version, "localllm engine install")
    yield from _own_server(known)


def _own_server(known: Known) -> Iterator[Installation]:
    """The user's own llama-server, asked for its version."""
    settings = known.settings.get()
    program = settings.llama_server if isinstance(settings, Settings) else None
    told = None if program is None else known.place.ask([os.path.expanduser(program), "--version"])  # noqa: PTH111
    found = _BUILD.search(told or "")
    if program is not None and found is not None:
        build = found[1] or found[2]
        yield Installation("llama-server", f"b{build}", "localllm engine install")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
