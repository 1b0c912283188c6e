"""Writes the ledger's file, and keeps it small. Blocks: for the ledger's own thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from localllm.metrics.energy_row import DeviceUse, EnergyRow, ModelUse
from localllm.metrics.ledger_row import COLUMNS, Row
from localllm.metrics.ledger_schema import open_ledger
from localllm.metrics.live import Api, Phase
from localllm.metrics.savings import REMOTE

_DAY_S = 86_400.0
_INSERT = f"INSERT INTO requests ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608  # names of ours
_ADD = """
    INSERT INTO daily VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (day, model, client) DO UPDATE SET
        requests = requests + 1,
        failed = failed + excluded.failed,
        cancelled = cancelled + excluded.cancelled,
        prompt_tokens = prompt_tokens + excluded.prompt_tokens,
        cached_tokens = cached_tokens + excluded.cached_tokens,
        generated_tokens = generated_tokens + excluded.generated_tokens,
        reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
        took_s = took_s + excluded.took_s,
        saved_tokens = saved_tokens + excluded.saved_tokens,
        saved_s = saved_s + excluded.saved_s,
        remote_prompt_tokens = remote_prompt_tokens + excluded.remote_prompt_tokens,
        remote_cached_tokens = remote_cached_tokens + excluded.remote_cached_tokens,
        remote_generated_tokens = remote_generated_tokens + excluded.remote_generated_tokens
"""
_ADD_DEVICE = """
    INSERT INTO device_days VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (day, device) DO UPDATE SET
        loaded_s = loaded_s + excluded.loaded_s,
        told_s = told_s + excluded.told_s,
        sampled_s = sampled_s + excluded.sampled_s,
        joules = joules + excluded.joules,
        idle_joules = idle_joules + excluded.idle_joules
"""
_ADD_MODEL = """
    INSERT INTO model_energy VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (day, model, client) DO UPDATE SET
        joules = joules + excluded.joules,
        busy_s = busy_s + excluded.busy_s,
        prompt_tokens = prompt_tokens + excluded.prompt_tokens,
        cached_tokens = cached_tokens + excluded.cached_tokens,
        generated_tokens = generated_tokens + excluded.generated_tokens
"""
_OLDER = "DELETE FROM requests WHERE began_at < ?"
_ALL_BUT_THE_NEWEST = """
    DELETE FROM requests
    WHERE number <= (SELECT number FROM requests ORDER BY number DESC LIMIT 1 OFFSET ?)
"""
_USED = """
    SELECT (count.page_count - free.freelist_count) * size.page_size
    FROM pragma_page_count AS count, pragma_freelist_count AS free, pragma_page_size AS size
"""


@dataclass(frozen=True, slots=True)
class Keep:
    """How much of single requests stays; what they add up to by day stays for ever."""

    days: float = 90.0
    rows: int = 200_000
    bytes: int = 64 << 20


class Store:
    """Mutable; used by one thread at a time. Opens its file when it first writes."""

    def __init__(self, file: Path, keep: Keep) -> None:
        self._file = file
        self._keep = keep
        self._db: sqlite3.Connection | None = None

    def write(self, rows: Sequence[Row | EnergyRow]) -> None:
        """Add all of them, or none.

        Raises:
            NewerLedger: The file is not ours to write.
            sqlite3.Error: It cannot be written; `set_aside` where it is damaged.
        """
        db = self._opened()
        with _transaction(db):
            requests = [row for row in rows if isinstance(row, Row)]
            db.executemany(_INSERT, [astuple(row) for row in requests])
            db.executemany(_ADD, [_daily(row) for row in requests])
            for kind, statement in ((DeviceUse, _ADD_DEVICE), (ModelUse, _ADD_MODEL)):
                uses = [astuple(row) for row in rows if isinstance(row, kind)]
                db.executemany(statement, uses)

    def prune(self, now: float) -> None:
        """Forget single requests that are too old, or too many; `now` is in Unix seconds.

        Raises:
            sqlite3.Error: It cannot be written.
        """
        db = self._opened()
        db.execute(_OLDER, (now - self._keep.days * _DAY_S,))
        db.execute(_ALL_BUT_THE_NEWEST, (self._keep.rows,))
        self._shrink(db)
        db.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")

    def set_aside(self) -> Path:
        """Put a damaged file out of the way, in the place of an earlier one: NAME.broken."""
        self.close()
        aside = self._file.with_name(f"{self._file.name}.broken")
        for ending in ("", "-wal", "-shm"):
            kept = aside.with_name(aside.name + ending)
            kept.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                self._file.with_name(self._file.name + ending).replace(kept)
        return aside

    def close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = open_ledger(self._file)
        return self._db

    def _shrink(self, db: sqlite3.Connection) -> None:
        """Forget the older half of them until the rest is small enough."""
        while _used_bytes(db) > self._keep.bytes:
            count = db.execute("SELECT count(*) FROM requests").fetchone()[0]
            if not count:
                return
            db.execute(_ALL_BUT_THE_NEWEST, (count // 2,))


@contextmanager
def _transaction(db: sqlite3.Connection) -> Generator[None]:
    """Do all of a block, or nothing; the connection commits by itself otherwise."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk may have rolled it back already
            db.execute("ROLLBACK")
        raise


def _used_bytes(db: sqlite3.Connection) -> int:
    return int(db.execute(_USED).fetchone()[0])


def _daily(row: Row) -> tuple[object, ...]:
    told = (row.prompt_tokens or 0, row.cached_tokens or 0, row.generated_tokens)
    tokens = (0, 0, 0) if row.api == Api.COUNT_TOKENS else told  # no model has read them
    return (
        row.day,
        row.model or "",
        row.client,
        row.phase == Phase.FAILED,
        row.phase == Phase.CANCELLED,
        *tokens,
        row.reasoning_tokens or 0,
        row.took_s,
        row.saved_tokens or 0,
        row.saved_s or 0.0,
        *(tokens if row.engine == REMOTE else (0, 0, 0)),
    )
