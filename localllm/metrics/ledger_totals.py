"""Reads what requests added up to, by day, model and client; with or without a daemon."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from localllm.errors import LocalLLMError
from localllm.metrics.ledger_schema import BUSY_S, MIGRATIONS, refuse_foreign
from localllm.metrics.savings import Spared

_COLUMNS = (
    "day, model, client, requests, failed, cancelled, "
    "prompt_tokens, cached_tokens, generated_tokens, reasoning_tokens, took_s"
)
_SAVED = {1: "0, 0.0"}
"""How an older version says what was saved; it is brought up to date by whoever writes it."""


@dataclass(frozen=True, slots=True)
class DayTotal:
    """What one client's requests to one model came to in one day."""

    day: str
    """In UTC, as in 2026-11-29."""

    model: str
    """Empty for requests that no instance got."""

    client: str
    requests: int
    failed: int
    cancelled: int
    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    reasoning_tokens: int
    took_s: float
    """All their durations; of requests at the same time more than there was."""

    saved_tokens: int
    """Of the cached ones, those that an engine here need not read again."""

    saved_s: float
    """That reading them would have taken at least, as far as anybody knows."""


def read_totals(
    file: Path, first_day: str = "", last_day: str = "9999-12-31"
) -> Sequence[DayTotal]:
    """Read the totals of these days, both included; none where there is no ledger yet.

    Raises:
        NewerLedger: A later version wrote it.
        LocalLLMError: It cannot be read.
    """
    if not file.exists() or not file.stat().st_size:
        return ()
    try:
        with closing(sqlite3.connect(file, timeout=BUSY_S)) as db:
            db.execute("PRAGMA query_only = ON")
            version = refuse_foreign(db, file, len(MIGRATIONS))
            if not version:
                return ()  # it is just being made
            rows = db.execute(_select(version), (first_day, last_day))
            return [DayTotal(*row) for row in rows]
    except sqlite3.Error as error:
        raise LocalLLMError(
            f"{file} cannot be read.",
            why=str(error),
            fix="localllm logs says more; a damaged file is replaced with the next request",
        ) from error


def read_spared(file: Path, day: str) -> Spared:
    """Read what the cache has spared all requests of a day.

    Raises:
        NewerLedger: A later version wrote it.
        LocalLLMError: It cannot be read.
    """
    totals = read_totals(file, day, day)
    tokens, seconds = (sum(t.saved_tokens for t in totals), sum(t.saved_s for t in totals))
    return Spared(tokens, seconds or None)


def _select(version: int) -> str:
    columns = f"{_COLUMNS}, {_SAVED.get(version, 'saved_tokens, saved_s')}"
    days = "day >= ? AND day <= ?"
    return f"SELECT {columns} FROM daily WHERE {days} ORDER BY day, model, client"  # noqa: S608  # names of ours
