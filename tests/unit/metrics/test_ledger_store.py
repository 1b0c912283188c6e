"""The ledger's file: brought up to date with a copy first, whole after a crash, kept small."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from localllm.metrics.ledger_row import Row, row_of
from localllm.metrics.ledger_schema import MIGRATIONS, NewerLedger, is_damage, open_ledger
from localllm.metrics.ledger_store import Keep, Store
from localllm.metrics.ledger_totals import read_spared, read_totals
from localllm.metrics.savings import Spared
from tests.unit.metrics.a_live import NOON, World

DAY_S = 86_400.0
ROW = row_of(World().answered(tokens=3), "claude-cli")


def rows(count: int, *, days_ago: float = 0.0) -> list[Row]:
    return [replace(ROW, id=f"req_{n}", began_at=NOON - days_ago * DAY_S) for n in range(count)]


def sql(file: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute(query).fetchall()


def count(file: Path) -> object:
    return sql(file, "SELECT count(*) FROM requests")[0][0]


def test_a_new_file_is_its_users_alone_and_says_whose_it_is(tmp_path: Path) -> None:
    file = tmp_path / "state" / "requests.sqlite3"

    open_ledger(file).close()

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sql(file, "PRAGMA journal_mode") == [("wal",)]
    assert sql(file, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert sql(file, "PRAGMA auto_vacuum") == [(2,)]


def test_an_older_file_is_copied_and_then_brought_up_to_date(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    store = Store(file, Keep())
    store.write(rows(3))
    newer = (*MIGRATIONS, ("ALTER TABLE requests ADD COLUMN cost REAL",))

    with closing(open_ledger(file, newer)) as db:  # while the WAL still holds what was written
        found = db.execute("SELECT count(*), max(cost) FROM requests").fetchone()
    store.close()

    copy = tmp_path / f"requests.sqlite3.v{len(MIGRATIONS)}"
    assert found == (3, None)
    assert count(copy) == 3
    assert sql(copy, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sql(file, "PRAGMA user_version") == [(len(newer),)]


def test_a_step_that_fails_half_way_leaves_the_older_version(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    store = Store(file, Keep())
    store.write(rows(3))
    store.close()
    broken = (*MIGRATIONS, ("ALTER TABLE requests ADD COLUMN cost REAL", "NONSENSE"))

    with pytest.raises(sqlite3.OperationalError):
        open_ledger(file, broken)

    assert sql(file, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert "cost" not in {row[1] for row in sql(file, "PRAGMA table_info(requests)")}
    assert count(file) == 3


def a_file_of_the_first_version(file: Path) -> None:
    """With a day's total of what was cached before anybody counted what that saves."""
    with closing(open_ledger(file, MIGRATIONS[:1])) as db:
        db.execute(
            "INSERT INTO requests (id, began_at, day, api, program, client, stream, phase,"
            " cached_tokens, generated_tokens, longest_gap_s, took_s)"
            " VALUES ('old', 1.8e9, '2027-01-15', 'chat', 'a/1', 'a', 0, 'done', 20, 3, 0.1, 2)"
        )
        db.execute("INSERT INTO daily VALUES ('2027-01-15', 'm', 'a', 1, 0, 0, 50, 20, 3, 0, 2)")


def test_a_ledger_from_before_savings_is_read_as_it_is_and_keeps_its_rows_when_written(
    tmp_path: Path,
) -> None:
    file = tmp_path / "requests.sqlite3"
    a_file_of_the_first_version(file)
    [before] = read_totals(file)

    store = Store(file, Keep())
    store.write([replace(ROW, model="m", client="a", saved_tokens=20, saved_s=1.5)])
    store.close()

    [after] = read_totals(file)
    assert (before.cached_tokens, before.saved_tokens, before.saved_s) == (20, 0, 0.0)
    assert (after.requests, after.cached_tokens) == (2, 40)
    assert (after.saved_tokens, after.saved_s) == (20, 1.5)
    assert sql(file, "SELECT id, saved_tokens, saved_s FROM requests ORDER BY number") == [
        ("old", None, None), ("req_1", 20, 1.5),
    ]  # fmt: skip
    assert sql(file.with_name("requests.sqlite3.v1"), "PRAGMA user_version") == [(1,)]


def test_what_was_saved_in_a_day_is_over_all_models_and_clients(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    assert read_spared(file, "2027-01-15") == Spared(0, None)
    store = Store(file, Keep())
    saved = replace(ROW, saved_tokens=20, saved_s=1.5)
    store.write(
        [
            *(saved, replace(saved, model="other"), replace(saved, client="another")),
            replace(saved, day="2027-01-16"),
            replace(saved, saved_tokens=7, saved_s=None),
            replace(saved, saved_tokens=None, saved_s=None),
        ]
    )
    store.close()

    assert read_spared(file, "2027-01-15") == Spared(67, 4.5)


@pytest.mark.parametrize(
    "pragma", [f"user_version = {len(MIGRATIONS) + 1}", "application_id = 12345"]
)
def test_a_file_of_a_newer_version_or_of_another_program_stays_as_it_is(
    tmp_path: Path, pragma: str
) -> None:
    file = tmp_path / "requests.sqlite3"
    open_ledger(file).close()
    sql(file, f"PRAGMA {pragma}")
    before = file.read_bytes()

    with pytest.raises(NewerLedger) as refused:
        Store(file, Keep()).write(rows(1))
    with pytest.raises(NewerLedger):
        read_totals(file)

    assert file.read_bytes() == before
    assert refused.value.fix


@pytest.mark.parametrize(
    "content", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 8000]
)
def test_a_broken_file_is_told_from_one_that_cannot_be_written_now(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "requests.sqlite3"
    file.write_bytes(content)

    with pytest.raises(sqlite3.DatabaseError) as broken:
        open_ledger(file)

    assert is_damage(broken.value)
    assert not is_damage(sqlite3.OperationalError("database is locked"))


def test_a_page_gone_wrong_is_noticed_when_the_file_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    store = Store(file, Keep())
    store.write(rows(500))
    store.prune(NOON)
    store.close()
    content = bytearray(file.read_bytes())
    content[4096 * 6 : 4096 * 9] = b"\xa5" * 4096 * 3
    file.write_bytes(content)

    with pytest.raises(sqlite3.DatabaseError) as broken:
        open_ledger(file)

    assert is_damage(broken.value)


def test_a_batch_of_which_one_request_cannot_be_written_is_not_written_at_all(
    tmp_path: Path,
) -> None:
    file = tmp_path / "requests.sqlite3"
    store = Store(file, Keep())
    store.write(rows(1))
    nobody = replace(ROW, program=None)  # type: ignore[arg-type]

    with pytest.raises(sqlite3.IntegrityError):
        store.write([*rows(3), nobody])
    store.write(rows(1))
    store.close()

    assert count(file) == 2
    assert read_totals(file)[0].requests == 2


def test_old_requests_are_forgotten_and_their_totals_are_not(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    store = Store(file, Keep(days=90))
    store.write([*rows(5, days_ago=91), *rows(2, days_ago=89)])
    before = read_totals(file)

    store.prune(NOON)
    store.close()

    assert count(file) == 2
    assert read_totals(file) == before
    assert sum(total.requests for total in before) == 7


def test_of_too_many_requests_the_newest_stay(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    store = Store(file, Keep(rows=3))
    store.write(rows(10))

    store.prune(NOON)
    store.close()

    assert sql(file, "SELECT id FROM requests ORDER BY number") == [
        ("req_7",), ("req_8",), ("req_9",),
    ]  # fmt: skip


def test_a_file_that_has_grown_too_large_gets_smaller(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    store = Store(file, Keep(bytes=128 << 10))
    store.write([replace(row, asked="x" * 200) for row in rows(3000)])
    total = read_totals(file)

    store.prune(NOON)
    store.close()

    assert file.stat().st_size <= 128 << 10
    assert 0 < int(str(count(file))) < 3000
    assert read_totals(file) == total


def test_bounds_that_nothing_meets_end_with_no_request_at_all(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    store = Store(file, Keep(bytes=0))
    store.write(rows(10))

    store.prune(NOON)
    store.close()

    assert count(file) == 0
    assert read_totals(file)[0].requests == 10


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from localllm.metrics.ledger_store import Keep, Store
from tests.unit.metrics.test_ledger_store import rows

store = Store(Path(sys.argv[1]), Keep())
number = 0
while True:
    batch = [replace(row, id=f"req_{number + n}") for n, row in enumerate(rows(7))]
    store.write(batch)
    number += 7
    print(number, flush=True)
    if number % 70 == 0:
        store.prune(1_800_000_000.0)
"""


def test_a_kill_loses_nothing_that_was_written_and_breaks_nothing(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    said = 0
    while said < 210:
        said = int(writer.stdout.readline())

    writer.send_signal(signal.SIGKILL)
    said = int([str(said), *writer.stdout.read().split()][-1])
    writer.wait()
    writer.stdout.close()

    total = read_totals(file)[0].requests
    assert sql(file, "PRAGMA integrity_check") == [("ok",)]
    assert count(file) == total
    assert total in {said, said + 7}


FULL_DISK = """
import resource, sqlite3, sys
from pathlib import Path
from localllm.metrics.ledger_store import Keep, Store
from localllm.metrics.ledger_totals import read_totals
from tests.unit.metrics.test_ledger_store import rows

_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
folder, failed = Path(sys.argv[1]), 0
for limit in range(0, 128 << 10, 6 << 10):
    file = folder / f"{limit}.sqlite3"
    store, written = Store(file, Keep()), 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    try:
        for _ in range(8):
            store.write(rows(20))
            written += 20
        store.prune(1_800_000_000.0)
    except (sqlite3.Error, OSError):
        failed += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    store.close()
    store.write(rows(20))
    store.close()
    total = read_totals(file)[0].requests
    count, = sqlite3.connect(file).execute("SELECT count(*) FROM requests").fetchone()
    assert (total, count) == (written + 20, written + 20), (limit, written, total, count)
print(failed)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a limit on file sizes is a signal")
def test_a_disk_that_is_full_at_any_write_leaves_what_was_written(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (said.returncode, said.stderr) == (0, "")
    assert int(said.stdout) > 10


def test_a_lost_table_of_totals_is_an_error_in_words(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    file.write_bytes(b"not a database" * 100)

    with pytest.raises(Exception, match="cannot be read"):
        read_totals(file)


def test_totals_are_read_by_days(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    assert read_totals(file) == ()
    store = Store(file, Keep())
    days = ["2026-01-01", "2026-01-02", "2026-01-03"]
    store.write([replace(ROW, day=day) for day in days])
    store.close()

    found = [total.day for total in read_totals(file, "2026-01-02", "2026-01-02")]

    assert found == ["2026-01-02"]
    assert all(a < b for a, b in pairwise(total.day for total in read_totals(file)))


def test_a_year_stays_within_its_bounds_and_each_of_its_days_is_known(tmp_path: Path) -> None:
    file = tmp_path / "requests.sqlite3"
    store = Store(file, Keep(rows=5_000, bytes=2 << 20))
    for day in range(365):
        now = NOON + day * DAY_S
        many = [replace(ROW, began_at=now, day=f"day {day}") for _ in range(100)]
        store.write(many)
        store.prune(now)
    store.close()

    assert sql(file, "SELECT count(*) <= 5000, min(began_at) FROM requests") == [
        (1, NOON + (365 - 50) * DAY_S)
    ]
    assert sql(file, "SELECT count(*), sum(requests) FROM daily") == [(365, 36_500)]
    assert file.stat().st_size < 3 << 20
