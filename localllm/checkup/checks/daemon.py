"""The daemon: whether it answers, what it says is wrong, and what a dead one left behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from localllm.api.daemon_file import DaemonFile, read_daemon_file
from localllm.api.status_views import InstanceView, StatusView
from localllm.checkup.finding import Area, Finding, Severity, advised, ok, word
from localllm.checkup.known import Known, Program
from localllm.checkup.place import Place
from localllm.checkup.repairs import CutLog, EndStrays, RemoveLeftovers
from localllm.units import size
from localllm.versioned import NewerFile

_A = Area.DAEMON
_LONG_LOG_BYTES = 64 << 20


def check_daemon(known: Known) -> Iterator[Finding]:
    """Whether it answers, and what it says is wrong."""
    running = known.daemon.get()
    if running is None:
        if known.has_no_daemon:
            yield ok("daemon.none", _A, "No daemon runs: localllm up starts one.")
            yield from _leftovers(known.place)
        yield from _of_a_later_version(known.place)
        return
    if running.status is None:
        yield Finding(
            "daemon.no-answer",
            _A,
            Severity.PROBLEM,
            f"The daemon (process {running.file.pid}) does not answer as one of this version does.",
            running.why_not,
            "localllm down; localllm up",
        )
        return
    yield ok("daemon.answers", _A, f"The daemon answers at {running.file.endpoint}.")
    yield from _of_status(running.status)


def _of_a_later_version(place: Place) -> Iterator[Finding]:
    """A daemon that runs, and whose file this version cannot read."""
    try:
        read_daemon_file(place.paths.daemon_file)
    except NewerFile as error:
        yield Finding(
            "daemon.newer",
            _A,
            Severity.PROBLEM,
            "The daemon that runs is of a newer localllm.",
            error.why,
            "localllm upgrade",
        )


def _of_status(status: StatusView) -> Iterator[Finding]:
    for warning in status.warnings:
        yield Finding(
            "daemon.machine",
            _A,
            Severity.WARNING,
            warning,
            "the daemon watches the machine, and this is so now",
            "localllm status",
        )
    for model in status.models:
        yield from _of_model(model)


def _of_model(model: InstanceView) -> Iterator[Finding]:
    if model.state in {"failed", "backoff"}:
        error, logs = model.error, f"localllm logs {word(model.id)}"
        why, fix = (None, logs) if error is None else advised(error.reason, error.fix, logs)
        yield Finding(
            "daemon.model-failed",
            _A,
            Severity.PROBLEM,
            f"{model.id} does not run: {model.why}.",
            why,
            fix,
        )
    elif model.state == "ready":
        yield ok("daemon.model", _A, f"{model.id} is ready.")
    for warning in model.warnings:
        yield Finding(
            "daemon.model-otherwise",
            _A,
            Severity.WARNING,
            f"{model.id}: {warning}",
            "it turned out otherwise than planned",
            f"localllm logs {word(model.id)}",
        )


def _leftovers(place: Place) -> Iterator[Finding]:
    """Files of a daemon that died; the next one would remove them, too."""
    paths = place.paths
    left = [paths.daemon_file] if _tells_of_a_dead_one(place) else []
    left += sorted(paths.sockets.glob("*.sock"))
    if left:
        yield Finding(
            "daemon.leftovers",
            _A,
            Severity.NOTE,
            f"A daemon that was killed left {len(left)} file{'s' * (len(left) > 1)} behind.",
            "they do no harm, and the next daemon removes them",
            "localllm doctor --fix",
            RemoveLeftovers(paths.state, tuple(left)),
        )


def _tells_of_a_dead_one(place: Place) -> bool:
    """Whether daemon.json is of this version; `Known` has found that nobody of it lives."""
    try:
        msgspec.json.decode(place.paths.daemon_file.read_bytes(), type=DaemonFile)
    except (OSError, msgspec.DecodeError):
        return False
    return True


def check_strays(known: Known) -> Iterator[Finding]:
    """Engines whose daemon is dead; every engine carries its daemon's state folder."""
    programs = known.programs.get()
    if programs is None:
        return
    yield from _strays_elsewhere(known, programs)
    strays = list(_strays(known, programs)) if known.has_no_daemon else []
    if not strays:
        yield ok("daemon.strays", _A, "No engine runs without its daemon.")
        return
    held = size(sum(one.resident_bytes for one in strays))
    pids = ", ".join(str(one.pid) for one in strays)
    yield Finding(
        "daemon.strays",
        _A,
        Severity.PROBLEM,
        f"{len(strays)} engine process{'es' * (len(strays) > 1)} ({pids}) of a dead daemon still "
        f"run{'s' * (len(strays) == 1)}.",
        f"nobody uses them, and they hold {held} of memory",
        "localllm doctor --fix",
        EndStrays(known.place.paths.state),
    )


def _strays(known: Known, programs: Iterable[Program]) -> Iterable[Program]:
    state = str(known.place.paths.state)
    return (one for one in programs if one.engine_of == state)


def _strays_elsewhere(known: Known, programs: Iterable[Program]) -> Iterator[Finding]:
    """Engines of other installations (LOCALLLM_HOME), whose daemon is dead: not ours to end."""
    here = str(known.place.paths.state)
    by_state: dict[str, list[Program]] = {}
    for one in programs:
        if one.engine_of is not None and one.engine_of != here:
            by_state.setdefault(one.engine_of, []).append(one)
    for state, engines in by_state.items():
        if _is_dead(Path(state)):
            pids = " ".join(str(one.pid) for one in engines)
            held = size(sum(one.resident_bytes for one in engines))
            yield Finding(
                "daemon.strays-elsewhere",
                _A,
                Severity.WARNING,
                f"An engine of another installation ({state}) runs, and its daemon is dead.",
                f"nobody uses it, and it holds {held} of memory",
                f"kill {pids}",
            )


def _is_dead(state: Path) -> bool:
    try:
        return read_daemon_file(state / "daemon.json") is None
    except NewerFile:
        return False  # it lives


def check_logs(known: Known) -> Iterator[Finding]:
    """Whether a log has grown beyond measure."""
    logs = [path for path in sorted(known.place.paths.logs.glob("*")) if path.is_file()]
    long = [path for path in logs if path.stat().st_size > _LONG_LOG_BYTES]
    if not long:
        yield ok("daemon.logs", _A, "No log has grown beyond measure.")
    for path in long:
        yield Finding(
            "daemon.long-log",
            _A,
            Severity.NOTE,
            f"The log {path} has {size(path.stat().st_size)}.",
            "it takes the room, and is no help in finding anything",
            "localllm doctor --fix",
            CutLog(path),
        )
