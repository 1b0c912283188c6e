"""Reads when models were last asked, out of the ledger of requests; with or without a daemon."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from localllm.errors import LocalLLMError
from localllm.metrics.ledger_totals import read_totals


def read_last_used(ledger: Path) -> Mapping[str, float]:
    """Read when models were last asked: the end of that day, by id, in Unix seconds.

    A ledger that cannot be read says nothing.
    """
    try:
        totals = read_totals(ledger)
    except LocalLLMError:
        return {}
    days = {total.model: total.day for total in totals}  # in the order of their days
    return {model: _end_of(day) for model, day in days.items()}


def _end_of(day: str) -> float:
    began = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return (began + timedelta(days=1)).timestamp()
