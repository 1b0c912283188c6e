"""Carries out what `doctor --fix` may do. Each repair looks once more whether it still is one; never sudo.

Only our own files and processes are touched: a path below our folders, an engine that carries our
state folder in its environment while nobody holds that folder's lock.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock

from localllm.checkup.finding import Finding, Repaired
from localllm.checkup.place import Place
from localllm.checkup.repairs import (
    CutLog,
    EndStrays,
    RemoveLeftovers,
    RenewService,
    Repair,
    SetMode,
)
from localllm.errors import LocalLLMError
from localllm.service.installed import installed_service, why_outdated
from localllm.supervisor.logs import cap_log
from localllm.supervisor.reaper import reap

_KEPT_OF_A_LOG_BYTES = 16 << 20


class NotRepaired(LocalLLMError):
    """What was to be repaired is not as it was found, or is not ours."""


def repair_all(findings: Sequence[Finding], place: Place) -> list[Repaired]:
    """Carry out all repairs, one after the other; one that fails does not keep the others back."""
    return [_one(finding, place) for finding in findings if finding.repair is not None]


def _one(finding: Finding, place: Place) -> Repaired:
    assert finding.repair is not None, "only what can be repaired comes here"
    try:
        return Repaired(finding, _carry_out(finding.repair, place))
    except LocalLLMError as error:
        return Repaired(finding, error=f"{error.what} {error.why}")
    except OSError as error:
        return Repaired(finding, error=error.strerror or str(error))


def _carry_out(repair: Repair, place: Place) -> str:
    match repair:
        case SetMode(path, mode):
            return _set_mode(_ours(path, place), mode)
        case RemoveLeftovers(_, files):
            with _no_daemon(place):
                return _remove([_ours(one, place) for one in files])
        case EndStrays():
            with _no_daemon(place):
                pids = reap(place.paths.state)
            return f"ended {', '.join(map(str, pids)) or 'nothing: they are gone'}"
        case CutLog(path):
            cut = cap_log(_ours(path, place), _KEPT_OF_A_LOG_BYTES)
            return f"cut {path}; its end is in {path.name}.1" if cut else f"{path} is short by now"
        case RenewService():
            return _renew(place)


def _ours(path: Path, place: Place) -> Path:
    """Refuse what is not below our folders, or is reached through a link.

    Raises:
        NotRepaired: It is not.
    """
    paths = place.paths
    folders = (paths.config, paths.state, paths.data, paths.cache)
    real = path.resolve()
    if path.is_symlink() or not any(real.is_relative_to(one.resolve()) for one in folders):
        raise NotRepaired(
            f"{path} is not repaired.", why="it is a link, or not localllm's own", fix="ls -l"
        )
    return path


def _set_mode(path: Path, mode: int) -> str:
    """Without following a link that somebody puts there just now."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
    return f"{path} is {mode:o} now"


def _remove(files: Sequence[Path]) -> str:
    for file in files:
        file.unlink(missing_ok=True)
    return f"removed {', '.join(map(str, files))}"


@contextmanager
def _no_daemon(place: Place) -> Generator[None]:
    """Be sure that no daemon lives here, nor starts meanwhile: whoever holds the lock is the only one.

    Raises:
        NotRepaired: One does.
    """
    lock = filelock.FileLock(place.paths.lock, blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise NotRepaired(
            "Nothing was done.",
            why="a daemon runs by now, which has seen to it",
            fix="localllm doctor",
        ) from error
    try:
        yield
    finally:
        place.paths.lock.unlink(missing_ok=True)
        lock.release()


def _renew(place: Place) -> str:
    """Write the service anew; one that runs is drained, and serves the same again."""
    service = installed_service(place.paths, place.environment)
    if service is None or not why_outdated(service):
        return "the service is up to date by now"
    if service.look().state == "active":
        service.restart()
        return f"wrote {service.file} anew, and started the service again"
    service.renew()
    return f"wrote {service.file} anew"
