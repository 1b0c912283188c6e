"""Remembers what was written into which file, so that it can be undone. One JSON file per agent."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from localllm.agents.edits import ABSENT, parse_step, render_step
from localllm.agents.errors import Malformed
from localllm.agents.languages import Language
from localllm.agents.merging import Change
from localllm.versioned import DamagedFile, Kind, read_versioned, write_versioned

FORMAT = 1


class ChangeRecord(msgspec.Struct, frozen=True, kw_only=True):
    path: list[str]
    value: Any
    was_there: bool
    earlier: Any = None
    reach: int


class FileRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to one file."""

    file: str
    """As the agent knows it; links are followed anew each time."""

    language: Language
    made: bool
    """There was none before."""

    folders: list[str] = []
    """Made for it, the outermost first."""

    backup: str | None = None
    before: str | None = None
    """Hash of the backup."""

    alone: bool = True
    """Nobody else has written to it since the backup was made."""

    after: str
    """Hash of the file as we left it."""

    changes: list[ChangeRecord] = []


class AgentRecord(msgspec.Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    agent: str
    model: str
    files: list[FileRecord] = []

    def of(self, file: Path) -> FileRecord | None:
        return next((record for record in self.files if record.file == str(file)), None)


KIND = Kind("what was written into an agent's files", AgentRecord, FORMAT)


def record_file(folder: Path, agent: str) -> Path:
    """Where an agent's record is."""
    return folder / f"{agent}.json"


def decoded(content: bytes) -> str:
    """Read a settings file's bytes as text.

    Raises:
        Malformed: They are not UTF-8.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Malformed("it is not UTF-8", line) from error


def read_record(folder: Path, agent: str) -> AgentRecord | None:
    """Read it; None if nothing is written for this agent, or it cannot be read.

    Raises:
        NewerFile: A later version has written it, and knows how it is undone.
    """
    try:
        return read_versioned(record_file(folder, agent), KIND)
    except (OSError, DamagedFile):
        return None


def write_record(folder: Path, record: AgentRecord) -> None:
    """Write it for its user alone: what our values replaced may be a key.

    Raises:
        NewerFile: A later version has written it; it stays.
        OSError: The disk does not take it.
    """
    write_versioned(record_file(folder, record.agent), KIND, record)


def hash_of(content: bytes) -> str:
    """Name a file's content."""
    return hashlib.sha256(content).hexdigest()


def render_changes(changes: Sequence[Change]) -> list[ChangeRecord]:
    """Turn changes into what JSON can hold."""
    return [
        ChangeRecord(
            path=[render_step(step) for step in change.path],
            value=change.value,
            was_there=change.earlier is not ABSENT,
            earlier=None if change.earlier is ABSENT else change.earlier,
            reach=change.reach,
        )
        for change in changes
    ]


def parse_changes(records: Sequence[ChangeRecord]) -> tuple[Change, ...]:
    """Undo `render_changes`."""
    return tuple(
        Change(
            tuple(parse_step(step) for step in record.path),
            record.value,
            record.earlier if record.was_there else ABSENT,
            record.reach,
        )
        for record in records
    )
