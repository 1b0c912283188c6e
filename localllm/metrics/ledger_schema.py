"""The ledger's file: its tables, their versions, and how an older file becomes a newer one.

Each version is one step, never changed once it was released. A file is copied before the first
step; one of a newer version is left as it is.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from localllm.errors import LocalLLMError

Migration = Sequence[str]
"""Statements that lead from one version to the next."""

MIGRATIONS: Sequence[Migration] = (
    (
        """
        CREATE TABLE requests (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL,
            began_at REAL NOT NULL,
            day TEXT NOT NULL,
            api TEXT NOT NULL,
            asked TEXT,
            model TEXT,
            instance TEXT,
            engine TEXT,
            program TEXT NOT NULL,
            client TEXT NOT NULL,
            conversation TEXT,
            key_name TEXT,
            stream INTEGER NOT NULL,
            phase TEXT NOT NULL,
            status INTEGER,
            error_code TEXT,
            prompt_tokens INTEGER,
            cached_tokens INTEGER,
            generated_tokens INTEGER NOT NULL,
            reasoning_tokens INTEGER,
            wait_s REAL,
            first_token_s REAL,
            longest_gap_s REAL NOT NULL,
            took_s REAL NOT NULL
        )
        """,
        "CREATE INDEX requests_by_time ON requests (began_at)",
        """
        CREATE TABLE daily (
            day TEXT NOT NULL,
            model TEXT NOT NULL,
            client TEXT NOT NULL,
            requests INTEGER NOT NULL,
            failed INTEGER NOT NULL,
            cancelled INTEGER NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            generated_tokens INTEGER NOT NULL,
            reasoning_tokens INTEGER NOT NULL,
            took_s REAL NOT NULL,
            PRIMARY KEY (day, model, client)
        ) WITHOUT ROWID
        """,
    ),
    (
        "ALTER TABLE requests ADD COLUMN saved_tokens INTEGER",
        "ALTER TABLE requests ADD COLUMN saved_s REAL",
        "ALTER TABLE daily ADD COLUMN saved_tokens INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE daily ADD COLUMN saved_s REAL NOT NULL DEFAULT 0",
    ),
    (
        "ALTER TABLE daily ADD COLUMN remote_prompt_tokens INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE daily ADD COLUMN remote_cached_tokens INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE daily ADD COLUMN remote_generated_tokens INTEGER NOT NULL DEFAULT 0",
        """
        CREATE TABLE device_days (
            day TEXT NOT NULL,
            device TEXT NOT NULL,
            loaded_s REAL NOT NULL,
            told_s REAL NOT NULL,
            sampled_s REAL NOT NULL,
            joules REAL NOT NULL,
            idle_joules REAL NOT NULL,
            PRIMARY KEY (day, device)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE model_energy (
            day TEXT NOT NULL,
            model TEXT NOT NULL,
            client TEXT NOT NULL,
            joules REAL NOT NULL,
            busy_s REAL NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            generated_tokens INTEGER NOT NULL,
            PRIMARY KEY (day, model, client)
        ) WITHOUT ROWID
        """,
    ),
)
ENERGY_VERSION = 3
"""The first with the energy of devices and models."""

APPLICATION_ID = 0x6C6F636C
"""Says that a database is this ledger: "locl"."""

BUSY_S = 5.0
"""How long to wait for another process, somebody's sqlite3 for instance."""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PRIMARY = 0xFF
"""An extended code's last byte says what kind it is of."""


class NewerLedger(LocalLLMError):
    """The file was written by a later version, or by another program."""


def open_ledger(file: Path, migrations: Sequence[Migration] = MIGRATIONS) -> sqlite3.Connection:
    """Open the ledger, made or brought up to date first; readable by its user alone.

    Raises:
        NewerLedger: It is left as it is.
        sqlite3.Error: The disk is full, or somebody else has it; `is_damage` tells a broken file.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    # No thread but the one at a time that the ledger runs in has it.
    db = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db, file, migrations)
    except BaseException:
        db.close()
        raise
    return db


def is_damage(error: sqlite3.Error) -> bool:
    """Tell a file that is broken from one that only cannot be written now."""
    return _kind(error) in _DAMAGED


def is_busy(error: sqlite3.Error) -> bool:
    """Tell a file that another program holds."""
    return _kind(error) in _BUSY


def refuse_foreign(db: sqlite3.Connection, file: Path, newest: int) -> int:
    """Let only a file of ours pass, of this version or an older one.

    Returns:
        Its version; 0 for one that is still empty.

    Raises:
        NewerLedger: It is none.
    """
    version, application = _version_of(db), _application_of(db)
    if version <= newest and application in {0, APPLICATION_ID}:
        return version
    what = f"of version {version}" if application == APPLICATION_ID else "no ledger of localllm"
    raise NewerLedger(
        f"{file} cannot be used.",
        why=f"it is {what}; this localllm knows versions up to {newest}",
        fix=f"localllm upgrade, or move {file} away for a new one",
    )


def _prepare(db: sqlite3.Connection, file: Path, migrations: Sequence[Migration]) -> None:
    version = refuse_foreign(db, file, len(migrations))
    if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise _damage(file)
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded as long as there is no table
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")  # enough under WAL for a process that is killed
    if 0 < version < len(migrations):
        _back_up(db, file.with_name(f"{file.name}.v{version}"))
    for number, statements in enumerate(migrations[version:], version + 1):
        _step(db, number, statements)


def _step(db: sqlite3.Connection, number: int, statements: Migration) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {number}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _back_up(db: sqlite3.Connection, copy: Path) -> None:
    """Copy the whole of it, what is still in the WAL too; in the place of an older copy."""
    draft = copy.with_name(f"{copy.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    db.execute("VACUUM INTO ?", (str(draft),))
    os.replace(draft, copy)  # noqa: PTH105  # the one call that promises to be atomic


def _kind(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY


def _version_of(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _application_of(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA application_id").fetchone()[0])


def _damage(file: Path) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(f"{file} is damaged")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
