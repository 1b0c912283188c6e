"""Removes files inside one folder, and nowhere else; with the locks that keep other programs out.

Every path is checked with the links of its parent resolved, and no link is followed: what goes is
the name itself.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from errno import EAGAIN, EWOULDBLOCK
from pathlib import Path

from localllm.errors import InUse, LocalLLMError
from localllm.store.revisions import freed_bytes
from localllm.store.shared_cache import CachedRepository


@dataclass(frozen=True, slots=True)
class Room:
    """A folder in which files may be removed."""

    folder: Path
    """All links resolved."""

    def check(self, paths: Iterable[Path]) -> None:
        """Refuse what is not inside.

        Raises:
            LocalLLMError: One of the paths leads out.
        """
        for path in paths:
            if not self._is_inside(path):
                raise leads_out(path)

    def unlink(self, path: Path) -> int:
        """Remove a file or link, if it is there; return the bytes that this frees.

        Raises:
            LocalLLMError: It leads out, or the system refuses.
        """
        self.check([path])
        try:
            freed = freed_bytes(path.lstat())
            path.unlink()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise unwritable(path, error) from error
        return freed

    def rename(self, path: Path, name: str) -> Path:
        """Give a file another name in its folder; errors are those of `unlink`."""
        to = path.with_name(name)
        self.check([path, to])
        try:
            return path.replace(to)
        except OSError as error:
            raise unwritable(path, error) from error

    def remove_empty(self, folder: Path) -> bool:
        """Remove a folder that has nothing in it; tell whether it is gone."""
        if folder.is_symlink() or not self._is_inside(folder):
            return False
        try:
            folder.rmdir()
        except OSError:  # something is in it
            return not os.path.lexists(folder)
        return True

    def _is_inside(self, path: Path) -> bool:
        above = Path(os.path.realpath(path.parent))
        return path.name not in {"", ".", ".."} and self.folder in (above, *above.parents)


def room_of(repository: CachedRepository) -> Room:
    """Find where a repository's files may be removed.

    Raises:
        LocalLLMError: Its folder is a link to somewhere else.
    """
    real = Path(os.path.realpath(repository.folder))
    if real != Path(os.path.realpath(repository.cache)) / repository.folder.name:
        raise leads_out(repository.folder)
    return Room(real)


def is_locked(lock: Path) -> bool:
    """Tell whether a program holds a lock, as filelock and huggingface_hub take it.

    What cannot be looked into counts as held.
    """
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)  # which lets go of it
    return False


@contextmanager
def locked(repository: CachedRepository, etags: Iterable[str]) -> Iterator[None]:
    """Keep other programs from writing these contents for as long as the block lasts.

    Raises:
        InUse: One writes them now.
        LocalLLMError: No lock can be made there.
    """
    with ExitStack() as stack:
        for etag in sorted(set(etags)):
            stack.enter_context(_lock(repository.lock(etag), repository))
        yield


@contextmanager
def _lock(lock: Path, repository: CachedRepository) -> Iterator[None]:
    Room(Path(os.path.realpath(repository.cache))).check([lock])
    is_new = not os.path.lexists(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o664)
    except OSError as error:
        raise unwritable(lock, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if error.errno in {EAGAIN, EWOULDBLOCK}:
            raise written_now(repository) from error
        if is_new:  # where there are no such locks, the hub takes the file itself for one
            lock.unlink(missing_ok=True)
        raise unwritable(lock, error) from error
    try:
        yield
    finally:
        os.close(handle)


def unwritable(path: Path, error: OSError) -> LocalLLMError:
    """Say that the system refuses."""
    return LocalLLMError(
        f"{_printable(path)} could not be changed.",
        why=str(error),
        fix="check who owns the cache, and whether its disk can be written",
    )


def written_now(repository: CachedRepository) -> InUse:
    """Say that a program is at it."""
    return InUse(
        f"{repository.name} is being fetched now.",
        why="a program holds the lock on one of its files",
        fix="wait until it is done, or end that program; then try again",
    )


def leads_out(path: Path) -> LocalLLMError:
    """Say that nothing outside is touched."""
    return LocalLLMError(
        f"{_printable(path)} leads out of the cache.",
        why="it is a link to somewhere else, or in a folder that is, and nothing outside is touched",
        fix="remove it by hand, if it is yours",
    )


def _printable(path: Path) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(path))
