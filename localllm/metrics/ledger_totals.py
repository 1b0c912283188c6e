"""Reads what requests added up to, by day, model and client; with or without a daemon."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from localllm.errors import LocalLLMError
from localllm.metrics.energy_row import DeviceUse, ModelUse
from localllm.metrics.ledger_schema import (
    BUSY_S,
    ENERGY_VERSION,
    MIGRATIONS,
    is_busy,
    is_damage,
    refuse_foreign,
)
from localllm.metrics.savings import Spared

_COLUMNS = (
    "day, model, client, requests, failed, cancelled, "
    "prompt_tokens, cached_tokens, generated_tokens, reasoning_tokens, took_s"
)
_DAYS = "WHERE day >= ? AND day <= ? ORDER BY day"
_OF_DEVICES = (
    f"SELECT {', '.join(f.name for f in fields(DeviceUse))} FROM device_days {_DAYS}, device"  # noqa: S608  # names of ours
)
_OF_MODELS = (
    f"SELECT {', '.join(f.name for f in fields(ModelUse))} FROM model_energy {_DAYS}, model, client"  # noqa: S608  # names of ours
)
LAST = "9999-12-31"
_LATER = {1: "0, 0.0, 0, 0, 0", 2: "saved_tokens, saved_s, 0, 0, 0"}
"""How an older version says what later ones have; it is brought up to date by whoever writes it."""

_NOW = "saved_tokens, saved_s, remote_prompt_tokens, remote_cached_tokens, remote_generated_tokens"


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

    remote_prompt_tokens: int = 0
    """Like those below, what a server elsewhere has read and written of all these."""

    remote_cached_tokens: int = 0
    remote_generated_tokens: int = 0


@dataclass(frozen=True, slots=True)
class EnergyTotals:
    """What energy came to, by day."""

    devices: Sequence[DeviceUse] = ()
    models: Sequence[ModelUse] = ()


def read_totals(file: Path, first_day: str = "", last_day: str = LAST) -> Sequence[DayTotal]:
    """Read the totals of these days, both included; none where there is no ledger yet.

    Raises:
        NewerLedger: A later version wrote it.
        LocalLLMError: It cannot be read.
    """
    with _opened(file) as (db, version):
        if db is None:
            return ()
        rows = db.execute(_select(version), (first_day, last_day))
        return [DayTotal(*row) for row in rows]


def read_energy(file: Path, first_day: str = "", last_day: str = LAST) -> EnergyTotals:
    """Read what energy came to in these days, both included; nothing where none was measured.

    Raises:
        NewerLedger: A later version wrote it.
        LocalLLMError: It cannot be read.
    """
    with _opened(file) as (db, version):
        if db is None or version < ENERGY_VERSION:
            return EnergyTotals()
        days = (first_day, last_day)
        return EnergyTotals(
            [DeviceUse(*row) for row in db.execute(_OF_DEVICES, days)],
            [ModelUse(*row) for row in db.execute(_OF_MODELS, days)],
        )


def read_idle_w(file: Path, first_day: str) -> Mapping[str, float]:
    """Read what devices used with a model in memory and nobody asking, in watts, since a day.

    Raises:
        NewerLedger: A later version wrote it.
        LocalLLMError: It cannot be read.
    """
    joules: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for use in read_energy(file, first_day).devices:
        joules[use.device] = joules.get(use.device, 0.0) + use.idle_joules
        seconds[use.device] = seconds.get(use.device, 0.0) + use.told_s
    return {device: joules[device] / told_s for device, told_s in seconds.items() if told_s}


@contextmanager
def _opened(file: Path) -> Generator[tuple[sqlite3.Connection | None, int]]:
    """Open it for reading, and tell its version; nothing where there is none, or one just begun."""
    if not file.exists() or not file.stat().st_size:
        yield None, 0
        return
    try:
        with closing(sqlite3.connect(file, timeout=BUSY_S)) as db:
            db.execute("PRAGMA query_only = ON")
            version = refuse_foreign(db, file, len(MIGRATIONS))
            yield (db if version else None), version
    except sqlite3.Error as error:
        raise LocalLLMError(
            f"{file} cannot be read.", why=str(error), fix=_remedy(error)
        ) from error


def _remedy(error: sqlite3.Error) -> str:
    if is_damage(error):
        return "localllm logs says more; a damaged file is replaced with the next request"
    if is_busy(error):
        return "end the program that holds it, sqlite3 for instance, and try again"
    return "see to it that it is a file which you may read and write"


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
    columns = f"{_COLUMNS}, {_LATER.get(version, _NOW)}"
    return f"SELECT {columns} FROM daily {_DAYS}, model, client"  # noqa: S608  # names of ours
