"""What goes wrong at the fake hub, and when: planned by tests, met by requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    API = "api"
    """A description, a tree, a search."""

    RESOLVE = "resolve"
    """A file's address at the hub, for HEAD and for GET."""

    BODY = "body"
    """The answer with a file's bytes: of the storage, or of the hub itself for a small file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What an answer does otherwise than it should. Fields may be combined."""

    at: Stage = Stage.BODY
    path: str = ""
    """Of a file in its repository, or a repository's name; empty: whichever."""

    method: str = ""
    skip: int = 0
    """So many requests that it would be for pass unharmed before."""

    times: int | None = 1
    """None: for ever."""

    status: int | None = None
    """Answer with this, with `body` and `headers`, and with no file."""

    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str | None = None
    """Redirect there; an empty one is the request's own address: a loop."""

    silent: bool = False
    """Send nothing, or nothing after `cut_after` bytes, and keep the connection open."""

    cut_after: int | None = None
    """Close the connection after so many bytes of the body."""

    reset: bool = False
    """Close with RST, so that what was sent and not yet read may be lost."""

    bytes_per_s: float | None = None
    """Of this connection alone; see FakeHub for all of them."""

    length_off: int = 0
    """What Content-Length says too much (or, below 0, too little)."""

    total_off: int = 0
    """What the size in Content-Range says too much."""

    wrong: bool = False
    """Send other bytes, as many as there should be."""

    etag: str | None = None
    """Another than the file's, as after it has changed."""

    whole: bool = False
    """Ignore the range that was asked for."""


def login_page(**when: object) -> Fault:
    """What a hotel's network answers in place of the hub."""
    html = "<!DOCTYPE html><html><body>Log in to the network</body></html>"
    return Fault(status=200, body=html, headers={"Content-Type": "text/html"}, **when)  # type: ignore[arg-type]


def too_many(retry_after: str, **when: object) -> Fault:
    """Status 429; `retry_after` is in seconds, or a date."""
    return Fault(status=429, headers={"Retry-After": retry_after}, **when)  # type: ignore[arg-type]


@dataclass(slots=True)
class _Planned:
    fault: Fault
    skip: int
    left: int | None


class Faults:
    """Those that are still to come."""

    def __init__(self) -> None:
        self._planned: list[_Planned] = []
        self._lock = threading.Lock()

    def plan(self, fault: Fault) -> None:
        with self._lock:
            self._planned.append(_Planned(fault, fault.skip, fault.times))

    def heal(self) -> None:
        with self._lock:
            self._planned.clear()

    def meet(self, at: Stage, method: str, *names: str) -> Fault | None:
        """Take the first that is meant for this request; each other one counts it, too."""
        met = None
        with self._lock:
            for planned in self._planned:
                if not _is_meant(planned.fault, at, method, names):
                    continue
                if planned.skip:
                    planned.skip -= 1
                elif met is None and planned.left != 0:
                    met = planned.fault
                    planned.left = None if planned.left is None else planned.left - 1
        return met


def _is_meant(fault: Fault, at: Stage, method: str, names: tuple[str, ...]) -> bool:
    return (
        fault.at is at and fault.method in {"", method} and (not fault.path or fault.path in names)
    )


class Pace:
    """Lets no more bytes through than its rate, however many connections share it."""

    def __init__(self, bytes_per_s: float | None = None) -> None:
        self.bytes_per_s = bytes_per_s
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, count: int) -> None:
        """Come back once so many bytes may have passed."""
        rate = self.bytes_per_s
        if rate is None:
            return
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + count / rate
            until = self._free_at
        time.sleep(max(0.0, until - time.monotonic()))
