"""Reads profiles/engines: which builds of engines there are for which machines, pinned by hash.

A build is data alone: where it comes from, what it must hash to, what it needs. A user's own
files beside config.toml go before those that are shipped.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from localllm.catalog.facts import Part, Positive
from localllm.errors import ConfigError

FORMAT = 1
Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Version = Annotated[str, msgspec.Meta(pattern=r"^\d+(\.\d+)*$")]


class Drives(StrEnum):
    """What a build computes on."""

    CUDA = "cuda"
    ROCM = "rocm"
    VULKAN = "vulkan"
    SYCL = "sycl"
    METAL = "metal"
    CPU = "cpu"


class Archive(Part, frozen=True):
    """A file that is unpacked: .tar.gz, .tar.xz, .zip, .whl."""

    url: Annotated[str, msgspec.Meta(pattern=r"^https://")]
    sha256: Hash
    size: Positive
    """Bytes."""

    @property
    def name(self) -> str:
        return Path(urlsplit(self.url).path).name


class Package(Part, frozen=True):
    """A wheel of a Python package index, installed without what it depends on."""

    name: str
    version: str
    sha256: Hash
    size: Positive
    index: Annotated[str, msgspec.Meta(pattern=r"^https://")] | None = None
    """One of the project's own; None is the user's, the registry unless they say otherwise."""


class Build(Part, frozen=True):
    """One build of one engine. What is None is no condition."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    """The name of its folder, and what `engine install` takes."""

    title: str
    engine: Literal["llama-server", "xllamacpp"]
    version: str
    drives: Drives
    os: Literal["linux", "darwin"]
    arch: Literal["x86_64", "arm64"]
    licence: str
    source: str
    """Who built it, and where that was looked up."""

    archives: tuple[Archive, ...] = ()
    packages: tuple[Package, ...] = ()
    program: str | None = None
    """Path of the server in what is unpacked; None for a Python package."""

    libraries: tuple[str, ...] = ()
    """Folders, likewise, in which shared libraries are found."""

    needs: tuple[str, ...] = ()
    """Shared libraries that the system must have: libvulkan.so.1."""

    least_driver: Version | None = None
    """Of NVIDIA."""

    native: tuple[Version, ...] = ()
    """Compute capabilities that it has machine code for; none given: nothing is known of it."""

    jit_from: Version | None = None
    """The least that the driver can translate code for, and the driver that it takes."""

    jit_driver: Version | None = None
    least_glibc: Version | None = None
    python: Annotated[str, msgspec.Meta(pattern=r"^3\.\d+$")] | None = None
    """The only one that its wheel is for; None: any."""

    def __post_init__(self) -> None:
        """Refuse what could not be installed; msgspec names the file's place in its error."""
        if self.engine == "llama-server" and self.program is None:
            raise ValueError("it does not say its `program`")
        if not self.archives and not self.packages:
            raise ValueError("it has neither `archives` nor `packages`")

    @property
    def download_bytes(self) -> int:
        return sum(a.size for a in self.archives) + sum(p.size for p in self.packages)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where it is fetched from, for people to read before they agree."""
        urls = [a.url for a in self.archives] + [p.index for p in self.packages if p.index]
        named = [urlsplit(url).hostname or "" for url in urls]
        registry = (
            ["the Python package registry"] if any(not p.index for p in self.packages) else []
        )
        return tuple(dict.fromkeys([*named, *registry]))


class _File(Part, frozen=True):
    format: int
    builds: tuple[Build, ...]


def read_builds(folder: Path, *more_folders: Path) -> Sequence[Build]:
    """Read the builds in each folder's `engines`: in the order of preference, a user's own first.

    Raises:
        ConfigError: A file is not what this version reads; it names file and field.
    """
    known: dict[str, Build] = {}
    for each in reversed((folder, *more_folders)):
        for file in sorted((each / "engines").glob("*.toml")):
            for build in _read(file):
                known.setdefault(build.id, build)
    return tuple(known.values())


def _read(file: Path) -> Iterator[Build]:
    fix = "reinstall localllm, or correct the file if it is yours"
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
        if written.get("format", FORMAT) != FORMAT:  # before its fields, which may be new
            why = f"it has format {written['format']}, this version reads {FORMAT}"
            raise ConfigError(f"{file} cannot be read.", why=why, fix=fix)
        yield from msgspec.convert(written, _File).builds
    except (msgspec.ValidationError, ValueError, OSError) as error:
        raise ConfigError(f"{file} is broken.", why=str(error), fix=fix) from error
