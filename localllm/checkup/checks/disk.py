"""The disks that matter: models, state, data. Whether they may be written to, have room, and are near."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from localllm.checkup.examining import Check
from localllm.checkup.finding import Area, Finding, Severity, ok, word
from localllm.checkup.known import Known
from localllm.checkup.place import Place
from localllm.store.places import hub_cache
from localllm.units import GIB, MIB, size

_A = Area.DISK
_FAR = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "drvfs", "afs", "ceph", "glusterfs", "lustre"}
    | {"fuse.sshfs", "fuse.rclone", "virtiofs", "davfs", "afpfs", "webdav"}
)
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_FULL_BYTES, _NEARLY_FULL_BYTES, _NEARLY_FULL_SHARE = 256 * MIB, 10 * GIB, 0.05


@dataclass(frozen=True, slots=True)
class Mount:
    point: str
    kind: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class _Room:
    free: int
    total: int


def disk_checks(place: Place) -> list[Check]:
    """One check for each place, so that a dead file system is named."""
    paths = place.paths
    places = {
        "models": hub_cache(place.environment),
        "state": paths.state,
        "engines": paths.data,
        "cache": paths.cache,
    }
    return [
        Check(
            f"disk.{name}",
            _A,
            partial(_check, name=name, path=path),
            f"{path} does not answer: a network file system whose server is gone, or a dying disk",
            f"timeout 5 stat {word(path)}; mount",
        )
        for name, path in places.items()
    ]


def _check(known: Known, name: str, path: Path) -> Iterator[Finding]:
    place = known.place
    nearest = _nearest(path)
    mount = find_mount(place, nearest)
    bad = [*_of_mount(name, path, mount), *_of_room(name, path, _room(nearest))]
    if not os.access(nearest, os.W_OK) and not any("read-only" in one.id for one in bad):
        bad.append(_not_writable(place, name, path, nearest))
    yield from bad
    if all(one.severity is Severity.NOTE for one in bad):
        yield ok(f"disk.{name}", _A, f"{path} has {size(_room(nearest).free)} free ({name}).")


def _nearest(path: Path) -> Path:
    """The folder, or the one above it that is there."""
    return next(one for one in (path, *path.parents) if one.exists())


def _of_mount(name: str, path: Path, mount: Mount | None) -> Iterator[Finding]:
    if mount is None:
        return
    if mount.read_only:
        yield Finding(
            "disk.read-only",
            _A,
            Severity.PROBLEM,
            f"{path} ({name}) is on a disk that is mounted read-only ({mount.point}).",
            "nothing can be written there; a disk that had errors is often mounted so",
            f"sudo mount -o remount,rw {word(mount.point)}; sudo dmesg | tail -50",
        )
    if mount.kind in _FAR:
        yield _far(name, path, mount)
    if mount.kind in _IN_MEMORY:
        yield Finding(
            "disk.in-memory",
            _A,
            Severity.NOTE,
            f"{path} ({name}) is in memory ({mount.kind} at {mount.point}).",
            "it takes memory from models, and is gone after the next start of the computer",
        )


def _far(name: str, path: Path, mount: Mount) -> Finding:
    if name == "models":
        return Finding(
            "disk.far",
            _A,
            Severity.WARNING,
            f"Models are on a network file system ({mount.kind} at {mount.point}).",
            "loading one takes minutes, and an engine stalls when the server does",
            "export HF_HUB_CACHE=$HOME/.cache/huggingface/hub",
        )
    return Finding(
        "disk.far",
        _A,
        Severity.WARNING,
        f"{path} ({name}) is on a network file system ({mount.kind} at {mount.point}).",
        "locks and databases are not safe there; two computers would take each other's daemon for theirs",
        "export LOCALLLM_HOME=/var/tmp/localllm-$USER",
    )


def _of_room(name: str, path: Path, room: _Room) -> Iterator[Finding]:
    what = f"{path} ({name}) has {size(room.free)} of {size(room.total)} free."
    fix = f"df -h {word(_nearest(path))}"
    if name == "models":
        fix = f"localllm gc; localllm ls; {fix}"
    if room.free < _FULL_BYTES:
        yield Finding(
            "disk.full",
            _A,
            Severity.PROBLEM,
            what,
            "nothing can be fetched, and what the daemon notes is lost",
            fix,
        )
    elif room.free < min(_NEARLY_FULL_BYTES, _NEARLY_FULL_SHARE * room.total):
        yield Finding(
            "disk.nearly-full",
            _A,
            Severity.WARNING,
            what,
            "the next model has no room",
            fix,
        )


def _room(path: Path) -> _Room:
    told = os.statvfs(path)
    return _Room(told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize)


def _not_writable(place: Place, name: str, path: Path, nearest: Path) -> Finding:
    """What is above our folder, or shared by others, stays whose it is."""
    user, fix = word(place.user), f"sudo install -d -o {word(place.user)} {word(path)}"
    if name == "models" and nearest == path and not path.is_relative_to(place.home):
        return Finding(
            "disk.not-writable",
            _A,
            Severity.WARNING,
            f"{place.user} may not write to {nearest} ({name}).",
            "what is there can be served, and nothing can be fetched; others may share it",
            "export HF_HUB_CACHE=$HOME/.cache/huggingface/hub",
        )
    return Finding(
        "disk.not-writable",
        _A,
        Severity.PROBLEM,
        f"{place.user} may not write to {nearest} ({name}).",
        "it belongs to somebody else; after sudo, mostly to root",
        f"sudo chown -R {user} {word(path)}" if nearest == path else fix,
    )


def find_mount(place: Place, path: Path) -> Mount | None:
    """Find the file system that a path is on; None where the system does not list them so."""
    real, found = os.path.realpath(path), None
    for line in place.read("proc/self/mounts").splitlines():
        words = line.split()
        if len(words) < 4:  # noqa: PLR2004  # device, point, kind, options
            continue
        point = words[1].replace("\\040", " ")
        inside = f"{real}/".startswith(f"{point.rstrip('/')}/")
        if inside and (found is None or len(point) >= len(found.point)):
            found = Mount(point, words[2], "ro" in words[3].split(","))
    return found
