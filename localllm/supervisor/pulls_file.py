"""The pulls that are to go on, on disk: so that a daemon that starts after a crash or a reboot does so."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from localllm.store.job import PullProgress
from localllm.store.pull_talk import Failure
from localllm.supervisor.pull_messages import Then, Wanted
from localllm.supervisor.pull_wishes import is_due
from localllm.supervisor.pulling_list import UNFINISHED, Pull, PullState
from localllm.versioned import DamagedFile, Kind, NewerFile, read_versioned, write_versioned

_log = logging.getLogger(__name__)
FORMAT = 1


@dataclass(frozen=True, slots=True)
class RememberedPulls:
    pulls: tuple[Pull, ...] = ()
    last: int = 0
    """The number of the newest pull that there ever was."""


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One pull. What is not said is not written: an earlier version knows nothing of `then`."""

    id: str
    wanted: Wanted
    state: PullState
    turn: int
    progress: PullProgress | None = None
    failure: Failure | None = None
    then: Then | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    last: int
    pulls: list[_Kept]


KIND = Kind("the pulls", _File, FORMAT, said_in="version", synced=False)


def read_pulls(file: Path) -> RememberedPulls:
    """Read them; what this version cannot read is said, and set aside when others are written."""
    try:
        read = read_versioned(file, KIND)
    except (OSError, DamagedFile, NewerFile) as error:
        _log.warning("the pulls of the daemon before are not known: %s", error)
        return RememberedPulls()
    if read is None:
        return RememberedPulls()
    return RememberedPulls(tuple(map(_restored, read.pulls)), read.last)


def write_pulls(file: Path, pulls: Iterable[Pull], last: int) -> None:
    """Write those that have not ended, and those that are to be served yet.

    In one step: a crash leaves the old file or the new one. A disk that is full costs the memory of them, not the pulls.
    """
    kept = [_kept(pull) for pull in pulls if pull.state in UNFINISHED or is_due(pull)]
    try:
        write_versioned(file, KIND, _File(FORMAT, last, kept))
    except (OSError, NewerFile) as error:
        _log.warning("the pulls are not remembered: %s", error)


def _kept(pull: Pull) -> _Kept:
    return _Kept(
        pull.id, pull.wanted, pull.state, pull.turn, pull.progress, pull.failure, pull.then
    )


def _restored(kept: _Kept) -> Pull:
    goes_on = kept.state in {PullState.QUEUED, PullState.FETCHING}
    return Pull(
        kept.id,
        kept.wanted,
        state=PullState.QUEUED if goes_on else kept.state,
        why="an earlier daemon has begun it",
        turn=kept.turn,
        progress=kept.progress,
        failure=kept.failure,
        then=kept.then,
        patient=goes_on,
    )
