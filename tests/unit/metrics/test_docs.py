"""The page about metrics lists those that there are."""

from __future__ import annotations

from pathlib import Path

from localllm.metrics.capture import Bounds
from localllm.metrics.ledger_store import Keep
from localllm.metrics.names import METRICS
from localllm.metrics.requests import KEPT

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()


def test_the_table_is_that_of_the_registry() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `localllm_")]

    assert rows == [
        f"| `{m.name}` | {m.kind} | {', '.join(f'`{label}`' for label in m.labels)} | {m.help} |"
        for m in METRICS
    ]


def test_the_numbers_are_those_of_the_program() -> None:
    keep, bounds = Keep(), Bounds()

    for said in (
        f"last {KEPT} that are over",
        f"after {keep.days:.0f} days",
        f"more than {keep.rows:,}, or of {keep.bytes >> 20} MiB",
        f"{bounds.requests} requests or {bounds.bytes >> 20} MiB",
    ):
        assert said in PAGE
