"""What is said of engines: those that are here, and the builds that could be."""

from __future__ import annotations

import msgspec


class EngineDeviceView(msgspec.Struct, frozen=True, kw_only=True):
    """A device in the engine's own words."""

    name: str
    kind: str
    description: str
    memory_total: int | None
    memory_free: int | None


class BenchView(msgspec.Struct, frozen=True, kw_only=True):
    """What `engine bench` measured last; tokens per second."""

    model: str
    device: str
    prefill_tps: float
    decode_tps: float


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    """One engine as it was found."""

    name: str
    version: str | None
    available: bool
    origin: str | None
    """Where it comes from: a package, a program's path, a build that was fetched."""

    formats: list[str]
    devices: list[EngineDeviceView]
    abilities: list[str]
    at_once: int | None
    """Requests that it answers at the same time; null: as many as are planned."""

    bench: BenchView | None
    hint: str | None
    """Why it lists fewer devices than there may be."""

    reason: str | None
    """Why it cannot be used."""


class BuildFileView(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a build: what to bring to a machine without network."""

    name: str
    """Of an archive; of a package, its name and version as pip takes them."""

    url: str | None
    """null: from the package index."""

    sha256: str
    size: int


class BuildView(msgspec.Struct, frozen=True, kw_only=True):
    """One build that can be fetched, or is here."""

    id: str
    title: str
    engine: str
    version: str
    drives: str
    installed: bool
    in_use: bool
    rollback: bool
    """Whether `engine rollback` would go back to it."""

    why_not: str | None
    """Why it would not run here; null where it would, or where it is installed."""

    download: int
    """Bytes."""

    files: list[BuildFileView]
    hosts: list[str]
    licence: str
    proved_on: str | None
    """Of an installed one: the device on which it ran a model."""


class EnginesView(msgspec.Struct, frozen=True, kw_only=True):
    """`engine list`."""

    engines: list[EngineView]
    builds: list[BuildView]


class BenchedView(msgspec.Struct, frozen=True, kw_only=True):
    """One engine of a comparison; tokens per second, each the median of the rounds."""

    engine: str
    version: str | None
    device: str
    prefill_tps: float
    decode_tps: float


class LeftOutView(msgspec.Struct, frozen=True, kw_only=True):
    engine: str
    why: str


class ComparisonView(msgspec.Struct, frozen=True, kw_only=True):
    """`engine bench`: the quickest first."""

    model: str
    benched: list[BenchedView]
    left_out: list[LeftOutView]
