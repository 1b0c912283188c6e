"""Energy in the ledger's file: older files get room for it, with a copy; readers need none of that."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.metrics.energy_row import DeviceUse, ModelUse
from localllm.metrics.ledger_row import row_of
from localllm.metrics.ledger_schema import (
    ENERGY_VERSION,
    MIGRATIONS,
    NewerLedger,
    open_ledger,
)
from localllm.metrics.ledger_store import Keep, Store
from localllm.metrics.ledger_totals import (
    EnergyTotals,
    read_energy,
    read_idle_w,
    read_totals,
)
from localllm.metrics.live import Api
from tests.unit.metrics.a_live import World

ROW = row_of(World().answered(), "claude-cli")
CARD = DeviceUse(ROW.day, "cuda:0", 100.0, 80.0, 20.0, 900.0, 400.0)
MODEL = ModelUse(ROW.day, "m", "claude-cli", 500.0, 30.0, 50, 20, 3)
OF_AN_OLD_ONE = {
    1: "INSERT INTO daily VALUES ('2026-01-01', 'm', 'c', 2, 0, 0, 100, 40, 7, 0, 3.5)",
    2: "INSERT INTO daily VALUES ('2026-01-01', 'm', 'c', 2, 0, 0, 100, 40, 7, 0, 3.5, 40, 1.5)",
}


def an_old_file(folder: Path, version: int) -> Path:
    """As a localllm of that version left it."""
    file = folder / "requests.sqlite3"
    with closing(open_ledger(file, MIGRATIONS[:version])) as db:
        db.execute(OF_AN_OLD_ONE[version])
    return file


def version_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


@pytest.mark.parametrize("version", OF_AN_OLD_ONE)
def test_an_older_file_gets_room_for_energy_and_a_copy_of_it_stays(
    tmp_path: Path, version: int
) -> None:
    file = an_old_file(tmp_path, version)
    store = Store(file, Keep())

    store.write([CARD, MODEL])
    store.close()

    copy = file.with_name(f"{file.name}.v{version}")
    assert (version_of(file), version_of(copy)) == (len(MIGRATIONS), version)
    assert read_energy(file) == EnergyTotals([CARD], [MODEL])
    for one in (file, copy):
        [total] = read_totals(one)
        assert (total.prompt_tokens, total.generated_tokens) == (100, 7)


@pytest.mark.parametrize("version", OF_AN_OLD_ONE)
def test_reading_an_older_file_leaves_it_as_it_is_and_tells_of_no_energy(
    tmp_path: Path, version: int
) -> None:
    file = an_old_file(tmp_path, version)

    [total] = read_totals(file)

    assert (total.day, total.cached_tokens, total.remote_prompt_tokens) == ("2026-01-01", 40, 0)
    assert read_energy(file) == EnergyTotals()
    assert read_idle_w(file, "") == {}
    assert version_of(file) == version < ENERGY_VERSION


def test_a_file_of_a_newer_version_is_refused_politely_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    open_ledger(file, (*MIGRATIONS, ("CREATE TABLE more (it)",))).close()
    before = file.read_bytes()

    with pytest.raises(NewerLedger, match="cannot be used") as refusal:
        read_energy(file)

    assert "localllm upgrade" in refusal.value.fix
    assert file.read_bytes() == before


def test_what_is_written_in_parts_is_added_up_by_day(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    store = Store(file, Keep())

    store.write([ROW, CARD, MODEL])
    store.write([CARD, MODEL, replace(CARD, device="cpu"), replace(CARD, day="2030-01-01")])
    store.close()

    energy = read_energy(file, ROW.day, ROW.day)
    assert energy.devices == [
        replace(CARD, device="cpu"),
        DeviceUse(ROW.day, "cuda:0", 200.0, 160.0, 40.0, 1800.0, 800.0),
    ]
    assert energy.models == [ModelUse(ROW.day, "m", "claude-cli", 1000.0, 60.0, 100, 40, 6)]
    assert read_idle_w(file, ROW.day)["cuda:0"] == pytest.approx(5.0)


def test_tokens_of_a_remote_are_told_apart_and_counting_them_is_no_reading(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    store = Store(file, Keep())

    store.write([ROW, replace(ROW, engine="remote"), replace(ROW, api=Api.COUNT_TOKENS.value)])
    store.close()

    [total] = read_totals(file)
    assert (total.requests, total.prompt_tokens, total.generated_tokens) == (3, 100, 6)
    assert (total.remote_prompt_tokens, total.remote_cached_tokens) == (50, 20)
    assert total.remote_generated_tokens == 3
