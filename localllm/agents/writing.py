"""Writes an agent's settings into its files.

All files are read and all texts made before the first is written. What was done is remembered
before it is done, so that a crash in between can be undone, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from localllm.agents.errors import Malformed, Unreadable
from localllm.agents.files import make_folders, mode_of, read_if_there, replace_file
from localllm.agents.guarding import target_of
from localllm.agents.languages import editor_for
from localllm.agents.merging import Merged, merge
from localllm.agents.record import (
    AgentRecord,
    FileRecord,
    decoded,
    hash_of,
    parse_changes,
    read_record,
    render_changes,
    write_record,
)
from localllm.agents.settings import FileSettings, Settings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where and when something is written."""

    home: Path
    cwd: Path
    records: Path
    """The folder of the records."""

    now: datetime


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one file."""

    file: Path
    changed: bool
    backup: Path | None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One file, read and merged, not yet written."""

    file: Path
    target: Path
    content: bytes | None
    merged: Merged
    settings: FileSettings
    record: FileRecord | None

    @property
    def new(self) -> bytes:
        return self.merged.text.encode()


def present(settings: FileSettings) -> Path:
    """Choose the file: the first of its names that is there, else the first."""
    candidates = settings.place.candidates
    return next((file for file in candidates if file.exists()), candidates[0])


def write_settings(settings: Settings, around: Surroundings) -> list[Written]:
    """Bring an agent's files up to date with what is served; nothing is written where they are.

    Raises:
        Unreadable: A file is not of its format; none is touched then.
        NotOurs: A file is not one that localllm writes to; likewise.
    """
    before = read_record(around.records, settings.agent.id)
    prepared = [_prepare(file, before, around) for file in settings.files]
    record = before or AgentRecord(agent=settings.agent.id, model="")
    written = []
    for each in prepared:
        changed = each.content != each.new
        file_record = _recorded(each, around.now) if changed else each.record
        if file_record is not None:
            record = _with(record, file_record, settings.connection.model)
            write_record(around.records, record)
        if changed:
            _write(each, file_record)
        backup = file_record.backup if changed and file_record is not None else None
        written.append(Written(each.file, changed, None if backup is None else Path(backup)))
    return written


def _prepare(settings: FileSettings, before: AgentRecord | None, around: Surroundings) -> _Prepared:
    file = present(settings)
    target = target_of(file, settings.place, around.home, around.cwd)
    content = read_if_there(target)
    record = None if before is None else before.of(file)
    ours = parse_changes(record.changes) if record is not None else ()
    try:
        text = decoded(content or b"")
        merged = merge(editor_for(settings.language), text, settings.edits, ours)
    except Malformed as error:
        raise error.of(file) from error
    return _Prepared(file, target, content, merged, settings, record)


def _recorded(each: _Prepared, now: datetime) -> FileRecord:
    """Say what is about to be done to a file, so that it can be undone."""
    content, old = each.content, each.record
    if old is not None and _as_we_know_it(content, old):
        return _again(old, each)
    return FileRecord(
        file=str(each.file),
        language=each.settings.language,
        made=content is None if old is None else old.made,
        folders=_missing(each.target.parent) if old is None else old.folders,
        backup=None if content is None else str(_backup_of(each.target, now)),
        before=None if content is None else hash_of(content),
        alone=old is None,
        after=hash_of(each.new),
        changes=render_changes(each.merged.changes),
    )


def _as_we_know_it(content: bytes | None, record: FileRecord) -> bool:
    """Whether a file is as we left it, or, where we never came to write, as we found it."""
    if content is None:
        return record.made
    return hash_of(content) in {record.after, record.before}


def _again(old: FileRecord, each: _Prepared) -> FileRecord:
    """Nobody else has written: the backup that there is stays the one to restore."""
    changes = render_changes(each.merged.changes)
    return msgspec.structs.replace(old, after=hash_of(each.new), changes=changes)


def _missing(folder: Path) -> list[str]:
    return [str(each) for each in (*reversed(folder.parents), folder) if not each.exists()]


def _backup_of(target: Path, now: datetime) -> Path:
    """Name a backup that is not there yet."""
    name = f"{target.name}.localllm-{now:%Y%m%d-%H%M%S}"
    numbered = (
        target.with_name(f"{name}{n}.bak") for n in ("", *(f"-{i}" for i in range(2, 1000)))
    )
    return next(file for file in numbered if not file.exists())


def _with(record: AgentRecord, file: FileRecord, model: str) -> AgentRecord:
    others = [each for each in record.files if each.file != file.file]
    return AgentRecord(agent=record.agent, model=model, files=[*others, file])


def _write(each: _Prepared, record: FileRecord | None) -> None:
    make_folders(each.target.parent)
    mode = mode_of(each.target)
    if record is not None and record.backup is not None and not Path(record.backup).exists():
        assert each.content is not None, "a backup has something to hold"
        replace_file(Path(record.backup), each.content, mode=mode)
    if read_if_there(each.target) != each.content:
        raise Unreadable(
            f"{each.file} has changed meanwhile; it is left as it is.",
            why="another program has written to it",
            fix="ask again",
        )
    replace_file(each.target, each.new, mode=mode)
