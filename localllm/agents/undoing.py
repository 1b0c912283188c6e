"""Takes out of an agent's files what was written there, and says whether it is still there.

A file that nobody else has written to becomes what it was, to the byte. Of any other our settings
alone are taken out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from localllm.agents.edits import ABSENT, find, render_step
from localllm.agents.errors import Malformed
from localllm.agents.files import mode_of, read_if_there, remove_folders, replace_file
from localllm.agents.languages import editor_for
from localllm.agents.merging import TakenBack, take_back
from localllm.agents.record import (
    KIND,
    FileRecord,
    decoded,
    hash_of,
    parse_changes,
    read_record,
    record_file,
)
from localllm.versioned import read_if_known


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of one file."""

    file: Path
    how: str
    """In a few words."""

    left: tuple[str, ...] = ()
    """Settings that somebody has changed since, and that stay."""


def undo_settings(agent: str, records: Path) -> list[Undone]:
    """Take back what was written for an agent; nothing where nothing was.

    Raises:
        NewerFile: A later version has written it.
        Unreadable: A file is no longer of its format; those before it are undone.
    """
    record = read_record(records, agent)
    if record is None:
        return []
    undone = [_undo(file) for file in reversed(record.files)]  # a folder was made for the first
    record_file(records, agent).unlink(missing_ok=True)
    return undone


def _undo(record: FileRecord) -> Undone:
    file = Path(record.file)
    target = file.resolve()
    content = read_if_there(target)
    if content is None:
        return Undone(file, "it is gone")
    if record.backup is not None and hash_of(content) == record.before:
        Path(record.backup).unlink(missing_ok=True)
        return Undone(file, "it is as it was")
    if record.alone and hash_of(content) == record.after:
        if record.made:
            return _removed(record, target, "removed, as there was none before")
        backup = _backup_of(record)
        if backup is not None:
            replace_file(target, backup, mode=mode_of(target))
            Path(record.backup or "").unlink(missing_ok=True)
            return Undone(file, "restored as it was")
    taken = _taken_back(record, content)
    if record.made and taken.empty:
        return _removed(record, target, "removed, as nothing else was in it")
    replace_file(target, taken.text.encode(), mode=mode_of(target))
    left = tuple(".".join(map(render_step, path)) for path in taken.left)
    return Undone(file, "our settings are taken out, the rest stays", left)


def _backup_of(record: FileRecord) -> bytes | None:
    """The backup's content; None if it is gone, or somebody has changed it."""
    content = None if record.backup is None else read_if_there(Path(record.backup))
    return content if content is not None and hash_of(content) == record.before else None


def _removed(record: FileRecord, target: Path, how: str) -> Undone:
    target.unlink()
    remove_folders([Path(folder) for folder in record.folders])
    return Undone(Path(record.file), how)


def _taken_back(record: FileRecord, content: bytes) -> TakenBack:
    try:
        text = decoded(content)
        return take_back(editor_for(record.language), text, parse_changes(record.changes))
    except Malformed as error:
        raise error.of(Path(record.file)) from error


def connected_model(agent: str, records: Path) -> str | None:
    """Which model an agent's files name since we wrote them; None if they no longer do."""
    record = read_if_known(record_file(records, agent), KIND)
    if record is None or not record.files:
        return None
    return record.model if all(map(_still_there, record.files)) else None


def _still_there(record: FileRecord) -> bool:
    content = read_if_there(Path(record.file))
    if content is None or hash_of(content) == record.after:
        return content is not None
    try:
        tree = editor_for(record.language).parse(decoded(content))
    except Malformed:
        return False
    return all(find(tree, change.path) is not ABSENT for change in parse_changes(record.changes))
