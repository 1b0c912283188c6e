"""Gets an engine for this machine: the best build that would run, and if it does not, the next."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import msgspec

from localllm.catalog.builds import Archive, Build, Drives, Package
from localllm.engines.builds.fitting import Candidate
from localllm.engines.builds.install import install, take_in
from localllm.engines.builds.installed import engine_in
from localllm.engines.builds.shelf import Shelved
from localllm.engines.builds.unpack import unpack
from localllm.engines.builds.workshop import Workshop
from localllm.errors import EngineUnusable, LocalLLMError, NoNetwork, NoSpace, WrongContent
from localllm.hardware.machine import DeviceKind, Host
from localllm.transfer.digests import sha256_of

_PROGRAM = "llama-server"


@dataclass(frozen=True, slots=True)
class Tried:
    """A build that was to be used, and why it is not."""

    build: Build
    error: LocalLLMError


async def obtain(
    candidates: Sequence[Candidate],
    workshop: Workshop,
    about_to: Callable[[Build], None] = lambda _: None,
) -> Shelved:
    """Install the first that works; one that is here already is proved again.

    Only a build that does not run, or is not there any more, makes way for the next: what cannot
    be fetched now may be fetched later, and the next would be used for ever.

    Args:
        candidates: In the order of preference, as `fitting` gives them.
        about_to: Called before each download; what it raises ends them all.

    Raises:
        EngineUnusable: None of them works; says of each why.
        NoNetwork: What should be tried next cannot be fetched.
        WrongContent: What comes is something else.
        NoSpace: The disk is too full.
    """
    here = {shelved.build for shelved in workshop.shelf.builds()}
    tried: list[Tried] = []
    for candidate in candidates:
        if candidate.why_not is not None:
            continue
        if candidate.build not in here:
            about_to(candidate.build)
        try:
            return await install(candidate.build, workshop)
        except NoSpace:
            raise
        except LocalLLMError as error:
            tried.append(Tried(candidate.build, error))
            if isinstance(error, WrongContent) or error.retryable:
                break
            workshop.warn(f"{candidate.build.title} is not used: {error.what} {error.why}")
    raise _none(candidates, tried)


def _none(candidates: Sequence[Candidate], tried: Sequence[Tried]) -> LocalLLMError:
    reasons = [f"{t.build.title}: {t.error.what} {t.error.why}" for t in tried]
    reasons += [f"{c.build.title}: {c.why_not}" for c in candidates if c.why_not is not None]
    if tried and isinstance(tried[-1].error, WrongContent):
        return tried[-1].error
    if tried and all(isinstance(t.error, NoNetwork) for t in tried):
        return NoNetwork(
            "No engine could be fetched.",
            why="; ".join(reasons),
            fix="connect to the network; or on a machine that has one: localllm engine install "
            "--from, see the README",
        )
    return EngineUnusable(
        "There is no build of an engine for this machine.",
        why="; ".join(reasons) or "none is known for its system and its devices",
        fix=tried[-1].error.fix if tried else _first_step(candidates),
    )


def _first_step(candidates: Sequence[Candidate]) -> str:
    """What would make the preferred build run, where nothing was tried."""
    lacking = next((c for c in candidates if c.why_not is not None), None)
    if lacking is None:
        return "put a llama-server of your own on PATH"
    return f"see to what {lacking.build.title} lacks, or put a llama-server of your own on PATH"


def from_disk(candidates: Sequence[Candidate], place: Path) -> Build | None:
    """Find the pinned build that a folder has all archives of, or that a file is the archive of."""
    for candidate in candidates:
        build = candidate.build
        if candidate.why_not is None and _is_there(build, place):
            return build
    return None


def _is_there(build: Build, place: Path) -> bool:
    if place.is_file():
        return [a.name for a in build.archives] == [place.name]
    if build.archives:  # and if a wheel is lacking beside them, its installer names it
        return all((place / archive.name).is_file() for archive in build.archives)
    return all(_has_wheel(place, package) for package in build.packages)


def _has_wheel(folder: Path, package: Package) -> bool:
    """Whether there is a file of this package and version, whatever system it is for."""
    name = re.sub(r"[-_.]+", "_", package.name).lower()
    begin = f"{name}-{package.version}-"
    return any(file.name.lower().startswith(begin) for file in folder.glob("*.whl"))


async def install_own(file: Path, host: Host, workshop: Workshop) -> Shelved:
    """Install an archive of llama.cpp that no pin knows: the user vouches for it, the trial proves it.

    Raises:
        EngineUnusable: It is no such archive, or does not run here.
    """
    return await anyio.to_thread.run_sync(_install_own, file, host, workshop)


def _install_own(file: Path, host: Host, workshop: Workshop) -> Shelved:
    draft = _own_build(file, host)
    with workshop.shelf.locked(), workshop.shelf.staging(draft) as staging:
        unpack(file, file.name, staging)
        found = sorted(p for p in staging.rglob(_PROGRAM) if p.is_file())
        if not found:
            raise EngineUnusable(
                f"{file.name} has no {_PROGRAM} in it.",
                why="an engine is an archive with llama.cpp's server",
                fix="give an archive of llama.cpp's releases, or set llama_server in config.toml",
            )
        found[0].chmod(0o755)
        build = _with_devices(draft, str(found[0].relative_to(staging)), staging, workshop)
        return take_in(build, replace(workshop, folder=file.parent), staging)


def _own_build(file: Path, host: Host) -> Build:
    digest = sha256_of(file)
    archive = Archive(f"https://localhost/{file.name}", digest, file.stat().st_size)
    return Build(
        id=f"own-{digest[:12]}",
        title=f"{file.name}, your own",
        engine="llama-server",
        version=digest[:12],
        drives=Drives.CPU,
        os="darwin" if host.os == "darwin" else "linux",
        arch="arm64" if host.arch == "arm64" else "x86_64",
        licence="unknown",
        source="a file of the user's",
        archives=(archive,),
        program=_PROGRAM,
    )


def _with_devices(draft: Build, program: str, staging: Path, workshop: Workshop) -> Build:
    """Say of an own build what it drives: what it lists first."""
    build = msgspec.structs.replace(draft, program=program)
    devices = engine_in(staging, build, workshop.environment).find().devices
    kind = devices[0].kind if devices else DeviceKind.CPU
    return msgspec.structs.replace(build, drives=Drives(kind.value))
