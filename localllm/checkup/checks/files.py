"""Our files: whether others may read what is secret, and whether sudo has made them root's."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from localllm.checkup.checks.containers import container_kind
from localllm.checkup.finding import Area, Finding, Severity, ok, word
from localllm.checkup.known import Known
from localllm.checkup.place import Place, group_name
from localllm.checkup.repairs import SetMode

_A = Area.FILES
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LOOKED_AT = 2_000


def check_rights(known: Known) -> Iterator[Finding]:
    """Whether others may read or write what is ours."""
    place = known.place
    found = [*_open_to_others(place), *_written_by_others(place), *_foreign(place)]
    yield from found
    if not found:
        yield ok("files.rights", _A, "What is secret is this user's alone.")
    if place.user_id == 0 and container_kind(place) is None:
        yield Finding(
            "files.as-root",
            _A,
            Severity.NOTE,
            "localllm runs as root.",
            "it needs no right that a user has not; what it writes is root's, and an engine with a hole "
            "could do anything",
        )


def _open_to_others(place: Place) -> Iterator[Finding]:
    paths = place.paths
    secret = (paths.daemon_file, paths.keys_file, paths.prefix_key)
    private = (paths.state, paths.sockets, paths.prefixes, paths.captures)
    for path, mode in [*((p, 0o600) for p in secret), *((p, 0o700) for p in private)]:
        found = _mode(path)
        if found is not None and found & _OTHERS:
            what = "folder" if mode == 0o700 else "file"  # noqa: PLR2004
            yield Finding(
                "files.too-open",
                _A,
                Severity.PROBLEM,
                f"Others may open the {what} {path} ({found:o}).",
                _WHY.get(path.name, "prompts, or parts of them, are in it"),
                f"chmod {mode:o} {word(path)}",
                SetMode(path, mode),
            )


_WHY = {
    "daemon.json": "the token in it lets whoever reads it control the daemon",
    "keys.json": "it tells who may ask from elsewhere; the daemon refuses to use it so",
    "prefix.key": "with it others could tell what prompts were about",
    "state": "tokens, logs and kept prompts are in it",
    "sockets": "engines listen there, and ask nobody for a key",
}


def _written_by_others(place: Place) -> Iterator[Finding]:
    for path in (place.paths.config, place.paths.config_file, place.paths.engines):
        found = _mode(path)
        if found is not None and found & _others_write(path, place):
            mode = found & ~_OTHERS_WRITE
            yield Finding(
                "files.others-write",
                _A,
                Severity.PROBLEM,
                f"Others may write to {path} ({found:o}).",
                "they could have the daemon start a program of theirs",
                f"chmod go-w {word(path)}",
                SetMode(path, mode),
            )


def _others_write(path: Path, place: Place) -> int:
    """Bits that let others write: a group of the user's own name has nobody else in it, as on Fedora."""
    is_private = group_name(path.stat().st_gid) == place.user
    return stat.S_IWOTH if is_private else _OTHERS_WRITE


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def _foreign(place: Place) -> Iterator[Finding]:
    """One finding for each of our folders that has something of another user's in it.

    Of root's doctor it is no matter: with a home that sudo has kept, as on a Mac, all would be wrong.
    """
    if place.user_id == 0:
        return
    paths = place.paths
    for root in dict.fromkeys((paths.config, paths.state, paths.data, paths.cache)):
        first = next(iter(_others_in(root, place.user_id)), None)
        if first is not None:
            yield Finding(
                "files.foreign",
                _A,
                Severity.PROBLEM,
                f"{first} does not belong to {place.user}.",
                "the daemon can neither replace nor remove it; sudo localllm leaves files of root's",
                f"sudo chown -R {word(place.user)} {word(root)}",
            )


def _others_in(root: Path, user_id: int) -> Iterator[Path]:
    pending, left = [root], _MOST_LOOKED_AT
    while pending and left:
        path, left = pending.pop(), left - 1
        try:
            found = path.lstat()
            if found.st_uid != user_id:
                yield path
            elif stat.S_ISDIR(found.st_mode):
                pending.extend(path.iterdir())
        except OSError:
            continue
