"""The builds that localllm fetched: each in a folder of its own, one of each engine in use.

A folder counts once its manifest is in it, and it gets its name only after that: what was
interrupted is never seen. The last one in use is kept beside the present one.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock
import msgspec

from localllm.catalog.builds import Build
from localllm.errors import EngineUnusable
from localllm.versioned import Kind, read_if_known, write_versioned

FORMAT = 1
_MANIFEST = "localllm.json"
_IN_USE = "in-use.json"
_NEW, _OLD = ".new-", ".old-"
"""What names begin with while a build is unpacked, and while it is replaced."""

_LOCK_WITHIN_S = 3600.0
"""Another `engine install` may be downloading for as long; its own progress is seen there."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder holds, written last."""

    format: int = FORMAT
    build: Build
    fetched_from: str
    at: float
    """Unix seconds."""

    proved_on: str | None
    """The device on which it ran the trial model; None: the processor."""


class _InUse(msgspec.Struct, frozen=True, kw_only=True):
    """By engine: the build in use, and the one before it."""

    format: int = FORMAT
    current: dict[str, str] = {}
    before: dict[str, str] = {}


IN_USE = Kind("which engines are in use", _InUse, FORMAT)
MANIFEST = Kind("what was fetched", Manifest, FORMAT)


@dataclass(frozen=True, slots=True)
class Shelved:
    """One build on this disk."""

    folder: Path
    manifest: Manifest
    in_use: bool

    @property
    def build(self) -> Build:
        return self.manifest.build


@dataclass(frozen=True, slots=True)
class Shelf:
    """The folder of all of them."""

    folder: Path

    def builds(self) -> Sequence[Shelved]:
        """Read all that is whole, by id."""
        in_use = self._read_in_use().current
        found = (_read_manifest(path) for path in sorted(self.folder.glob(f"[!.]*/{_MANIFEST}")))
        return [
            Shelved(path, manifest, in_use.get(manifest.build.engine) == manifest.build.id)
            for path, manifest in found
            if manifest is not None
        ]

    def current(self, engine: str) -> Shelved | None:
        """Find the build of an engine that is in use."""
        mine = (s for s in self.builds() if s.build.engine == engine and s.in_use)
        return next(mine, None)

    def before(self, engine: str) -> Shelved | None:
        """Find the build that was in use before."""
        name = self._read_in_use().before.get(engine)
        return next((s for s in self.builds() if s.build.id == name), None)

    def find(self, build: str) -> Shelved:
        """Find a build by its id.

        Raises:
            EngineUnusable: It is not here.
        """
        here = self.builds()
        for shelved in here:
            if shelved.build.id == build:
                return shelved
        names = ", ".join(s.build.id for s in here) or "none"
        raise EngineUnusable(
            f"The build {build!r} is not installed.",
            why=f"installed are: {names}",
            fix="localllm engine list, which names those that can be",
        )

    def use(self, shelved: Shelved) -> None:
        """Make a build the one in use of its engine."""
        engine, name, state = shelved.build.engine, shelved.build.id, self._read_in_use()
        last = state.current.get(engine, name)
        before = state.before if last == name else {**state.before, engine: last}
        others = {e: b for e, b in before.items() if b != name}
        self._write_in_use(_InUse(current={**state.current, engine: name}, before=others))

    def roll_back(self, engine: str) -> Shelved:
        """Put the build in use that was before; twice is where it began.

        Raises:
            EngineUnusable: There was none, or it has been removed.
        """
        before = self.before(engine)
        if before is None:
            raise EngineUnusable(
                f"There is no earlier build of {engine} to go back to.",
                why="none was in use before this one, or it has been removed",
                fix="localllm engine list shows what is installed, localllm engine use takes one",
            )
        self.use(before)
        return before

    def remove(self, shelved: Shelved, *, force: bool = False) -> None:
        """Delete a build; the manifest first, so that half of it never counts.

        Raises:
            EngineUnusable: It is in use, and not to be deleted by force.
        """
        if shelved.in_use and not force:
            raise EngineUnusable(
                f"{shelved.build.id} is in use.",
                why="what is served would have no engine at its next start",
                fix="localllm engine rollback, or engine use BUILD, and then rm; or rm --force",
            )
        (shelved.folder / _MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(shelved.folder)
        state, name = self._read_in_use(), shelved.build.id
        self._write_in_use(
            _InUse(
                current={e: b for e, b in state.current.items() if b != name},
                before={e: b for e, b in state.before.items() if b != name},
            )
        )

    def shelve(self, staging: Path, manifest: Manifest) -> Shelved:
        """Take in a folder that has been proved; one of the same id is replaced."""
        (staging / _MANIFEST).write_bytes(msgspec.json.encode(manifest))
        folder = self.folder / manifest.build.id
        if folder.exists():
            old = folder.with_name(f"{_OLD}{folder.name}")
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)  # engines that run from it keep their files open
            staging.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            staging.rename(folder)
        return Shelved(folder, manifest, in_use=False)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Be the only one that changes it; what a killed one had begun is undone first.

        Raises:
            EngineUnusable: Another one does not let go of it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            held = filelock.FileLock(self.folder / ".lock").acquire(timeout=_LOCK_WITHIN_S)
        except filelock.Timeout as error:
            raise EngineUnusable(
                "Engines cannot be changed now.",
                why=f"another localllm has been at it for {_LOCK_WITHIN_S / 3600:.0f} h",
                fix="wait for it, or end it, and try again",
            ) from error
        with held:
            self._undo()
            yield

    def _undo(self) -> None:
        """Put back what was being replaced; delete what was being unpacked."""
        for old in self.folder.glob(f"{_OLD}*"):
            folder = self.folder / old.name.removeprefix(_OLD)
            if not folder.exists():
                old.rename(folder)
        for leftover in (*self.folder.glob(f"{_OLD}*"), *self.folder.glob(f"{_NEW}*")):
            shutil.rmtree(leftover, ignore_errors=True)

    @contextmanager
    def staging(self, build: Build) -> Generator[Path]:
        """A new folder to unpack into, gone again unless it was taken in."""
        folder = self.folder / f"{_NEW}{build.id}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def downloads(self) -> Path:
        """Where what is downloaded lies until it is unpacked; parts of it survive a crash."""
        return self.folder / ".downloads"

    def _read_in_use(self) -> _InUse:
        return read_if_known(self.folder / _IN_USE, IN_USE) or _InUse()

    def _write_in_use(self, state: _InUse) -> None:
        write_versioned(self.folder / _IN_USE, IN_USE, state)


def _read_manifest(path: Path) -> tuple[Path, Manifest | None]:
    """Read it; None for one that this version cannot read."""
    return path.parent, read_if_known(path, MANIFEST)
