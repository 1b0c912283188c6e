"""What the daemon and the process that pulls say to each other: a JSON document a line."""

from __future__ import annotations

import msgspec

from localllm.store.job import PullJob, PullProgress


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """The first line that the process reads."""

    job: PullJob
    connections: int
    bytes_per_s: float | None
    """None: as fast as it goes."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Each line after it: how fast it may be from now on."""

    bytes_per_s: float | None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error that users can meet; see errors.py."""

    code: str
    what: str
    why: str
    fix: str
    retry_after_s: float | None = None
    """When it may be tried again, where the server says so."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Each line that it writes; its last has `done` or `failed`."""

    progress: PullProgress | None = None
    done: bool = False
    failed: Failure | None = None
