"""Which files localllm keeps for itself, and of which version each is.

One table, which doctor, uninstall, upgrade, the docs and the tests read. Models are no state: they are in
the cache that all programs share. Changes nothing on disk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from localllm.paths import Paths

_ENDINGS = re.compile(r"(\.v\d+|\.broken)?(-wal|-shm)?((\.[0-9a-f]{8})?\.draft|\.unread)?$")
"""Of a copy of an older version, of a damaged file, of what SQLite has beside one, of a half one."""


class Place(StrEnum):
    CONFIG = "config"
    STATE = "state"
    DATA = "data"
    CACHE = "cache"


class Says(StrEnum):
    """How a file says its version."""

    FORMAT = "`format` in JSON"
    VERSION = "`version` in JSON"
    HEAD = "its first line"
    SQLITE = "`user_version`"
    STAMP = "`format` in msgpack"
    LINE = "`format` in its first line, JSON"
    BY_HAND = "`format` in TOML, yours"
    BESIDE = "in the file beside it"
    NOT = "not: it is text, or empty"


@dataclass(frozen=True, slots=True)
class StateFile:
    """One kind of file, or a group that is handled alike."""

    place: Place
    pattern: str
    """Below the place; `*` stands for one name, `**` for all that is in a folder."""

    what: str
    version: int | None
    """That this version of localllm writes; None: it says none."""

    says: Says
    newer: str = "left as it is; "
    damaged: str = "kept as `NAME.broken` when a new one is written"
    many: bool = False
    """There may be hundreds, which nobody looks at for a warning; `newer` and `damaged` hold for each."""

    mark: str | None = None
    """Of a folder: the file without which the rest of it is none of ours."""


_LEFT = "left as it is; not read, not written"
_NONE = "-"
_WRITTEN_BY_HAND = "an error that names the line"
STATE_FILES: Sequence[StateFile] = (
    StateFile(
        Place.CONFIG, "config.toml", "the settings", None, Says.NOT,
        _WRITTEN_BY_HAND, "the same; a running daemon keeps the old ones",
    ),
    StateFile(
        Place.CONFIG, "config.toml.before", "the settings, as `config init --force` found them",
        None, Says.NOT, _NONE, _NONE,
    ),
    StateFile(
        Place.CONFIG, "config.schema.json", "what an editor knows of the settings", None, Says.NOT,
        _NONE, "written anew by `config edit`",
    ),
    StateFile(
        Place.CONFIG, "models/*.toml", "your own profiles", None, Says.BY_HAND,
        _WRITTEN_BY_HAND, "the same",
    ),
    StateFile(
        Place.CONFIG, "engines/*.toml", "your own builds of engines", None, Says.BY_HAND,
        _WRITTEN_BY_HAND, "the same",
    ),
    StateFile(
        Place.STATE, "serving.json", "what to serve again", 1, Says.FORMAT,
        f"{_LEFT}: nothing is served again by itself",
    ),
    StateFile(
        Place.STATE, "pulls.json", "downloads to go on with", 1, Says.VERSION,
        f"{_LEFT}: downloads are asked for again, and go on where they were",
    ),
    StateFile(
        Place.STATE, "ledger.json", "what plans turned out to be", 1, Says.FORMAT,
        f"{_LEFT}: plans are predicted, not corrected",
    ),
    StateFile(
        Place.STATE, "tokenizers.json", "what tokenizers made of a text", 1, Says.FORMAT,
        f"{_LEFT}: a tokenizer is compared with its profile alone",
    ),
    StateFile(
        Place.STATE, "engine-bench.json", "how fast engines are here", 1, Says.FORMAT,
        f"{_LEFT}: engines are chosen by rule; `engine bench` refuses",
    ),
    StateFile(
        Place.STATE, "benches/*.json", "one run of `bench`", 1, Says.FORMAT,
        "left as it is; `bench --list` names it", "left as it is; likewise", many=True,
    ),
    StateFile(
        Place.STATE, "keys.json", "the API keys' hashes", 1, Says.FORMAT,
        "left as it is; a daemon on loopback runs, one that others reach does not start",
        "left as it is; likewise",
    ),
    StateFile(
        Place.STATE, "requests.sqlite3", "what requests came to", 3, Says.SQLITE,
        f"{_LEFT}: requests are served and not counted",
        "kept as `NAME.broken`, a new one is begun",
    ),
    StateFile(
        Place.STATE, "prefix.key", "the key of saved prompts", 1, Says.HEAD,
        "left as it is; saved prompts are not found until the daemon's end",
        "another one is made; saved prompts are not found",
    ),
    StateFile(
        Place.STATE, "prefixes/*.json", "one saved prompt", 3, Says.FORMAT,
        "left as it is; counted in, not used",
        "removed with its prompt", many=True,
    ),
    StateFile(Place.STATE, "prefixes/*.kv", "its cache", None, Says.BESIDE, _NONE, "removed"),
    StateFile(Place.STATE, "prefixes/*.request", "its request", None, Says.BESIDE, _NONE, "removed"),
    StateFile(
        Place.STATE, "agents/*.json", "what was written into an agent's files", 1, Says.FORMAT,
        "left as it is; `connect` refuses this agent",
    ),
    StateFile(
        Place.STATE, "captures/*/*.json", "one captured request", 1, Says.FORMAT,
        "never read again by localllm", "likewise", many=True,
    ),
    StateFile(
        Place.STATE, "traffic/*.jsonl", "recorded traffic", 1, Says.LINE,
        "left as it is; `bench --replay` refuses it", "likewise", many=True,
    ),
    StateFile(
        Place.STATE, "benches/replays/*.json", "what a replay measured", 1, Says.FORMAT,
        "left as it is, named and not compared with", "likewise", many=True,
    ),
    StateFile(
        Place.STATE, "checks/*.json", "what an examination of a model found", 1, Says.FORMAT,
        "not compared with", "likewise", many=True,
    ),
    StateFile(
        Place.STATE, "daemon.json", "the running daemon", 1, Says.FORMAT,
        "the command refuses to talk to a newer daemon", "as if no daemon ran",
    ),
    *(
        StateFile(Place.STATE, f"{name}.lock", "one at a time", None, Says.NOT, _NONE, _NONE)
        for name in ("daemon", "keys", "ledger", "tokenizers")
    ),
    StateFile(Place.STATE, "sockets/*.sock", "where engines listen", None, Says.NOT, _NONE, _NONE),
    StateFile(Place.STATE, "logs/*.log", "logs", None, Says.NOT, _NONE, _NONE),
    StateFile(Place.STATE, "logs/*.log.1", "logs, as they were", None, Says.NOT, _NONE, _NONE),
    StateFile(
        Place.STATE, "launched/**", "settings of agents that `launch` has started",
        None, Says.NOT, _NONE, "written anew at each start",
    ),
    StateFile(
        Place.DATA, "engines/in-use.json", "which engines are in use", 1, Says.FORMAT,
        f"{_LEFT}: the engines of this Python are used; `engine install` and `use` refuse",
    ),
    StateFile(
        Place.DATA, "engines/*/localllm.json", "what a fetched engine is", 1, Says.FORMAT,
        "left as it is; that engine is not used", "likewise",
    ),
    StateFile(Place.DATA, "engines/.lock", "one at a time", None, Says.NOT, _NONE, _NONE),
    StateFile(
        Place.DATA, "engines/.*/**", "engines that are being fetched", None, Says.NOT, _NONE, _NONE
    ),
    StateFile(
        Place.DATA, "engines/*/**", "fetched engines", None, Says.BESIDE, _NONE, _NONE,
        mark="localllm.json",
    ),
    StateFile(
        Place.DATA, "previous/localllm-*.whl", "localllm as it was before an upgrade", None, Says.NOT, _NONE,
        "`upgrade --to` fetches that version instead",
    ),
    StateFile(
        Place.DATA, "embedded/**", "the small model that needs no hub", None, Says.NOT, _NONE,
        "of another length: as if it were not there",
    ),
    StateFile(
        Place.CACHE, "headers/*", "what hubs said of models", 2, Says.STAMP,
        "as if it were not there", "likewise",
    ),
    *(
        StateFile(Place.CACHE, f"{name}.lock", "one at a time", None, Says.NOT, _NONE, _NONE)
        for name in ("service", "upgrade")
    ),
    StateFile(
        Place.CACHE, "localllm-upgrade-*/**", "what an upgrade fetches", None, Says.NOT, _NONE, _NONE
    ),
)  # fmt: skip
MARKS = frozenset(kind.mark for kind in STATE_FILES if kind.mark is not None)


def place_of(paths: Paths, place: Place) -> Path:
    """Find the folder of a place."""
    return {
        Place.CONFIG: paths.config,
        Place.STATE: paths.state,
        Place.DATA: paths.data,
        Place.CACHE: paths.cache,
    }[place]


def kind_of(place: Place, name: str) -> StateFile | None:
    """Find what a file is, by its name below its place: `agents/codex.json.v1`; None: none of ours."""
    plain = _ENDINGS.sub("", name)
    for each in STATE_FILES:
        if each.place is place and _is_like(plain, each.pattern):
            return each
    return None


def may_hold(place: Place, folder: str) -> bool:
    """Tell whether files of ours may be in a folder, or further below: a path below its place."""
    parts = PurePosixPath(folder).parts
    patterns = (PurePosixPath(each.pattern).parts for each in STATE_FILES if each.place is place)
    return any(_leads_to(parts, like) for like in patterns)


def mark_of(place: Place, folder: str) -> str | None:
    """Name the file that makes a folder ours; None where its own name does."""
    inside = kind_of(place, f"{folder}/any/file")
    is_top = inside is not None and len(PurePosixPath(folder).parts) == inside.pattern.count("/")
    return inside.mark if inside is not None and is_top else None


def _is_like(name: str, pattern: str) -> bool:
    path, like = PurePosixPath(name), PurePosixPath(pattern)
    if like.name == "**":
        return len(path.parts) >= len(like.parts) and _leads_to(path.parts, like.parts)
    same_depth = len(path.parts) == len(like.parts)
    return same_depth and all(map(fnmatchcase, path.parts, like.parts))


def _leads_to(parts: Sequence[str], like: Sequence[str]) -> bool:
    """Whether a folder is on the way to what is like a pattern."""
    above = like[:-1]
    return (like[-1] == "**" or len(parts) <= len(above)) and all(map(fnmatchcase, parts, above))
