"""The ledger is never in the way: what cannot be written waits, is dropped, and is said once."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.metrics import ledger as ledger_module
from localllm.metrics.callers import caller_of
from localllm.metrics.ledger import Ledger
from localllm.metrics.ledger_row import row_of
from localllm.metrics.ledger_schema import MIGRATIONS, open_ledger
from localllm.metrics.ledger_store import Keep, Store
from localllm.metrics.ledger_totals import read_totals
from localllm.metrics.live import Live
from tests.unit.metrics.a_live import NOON, World

pytestmark = pytest.mark.anyio


def a_ledger(file: Path) -> Ledger:
    return Ledger(file, wall_clock=lambda: NOON, gather_s=0.0, again_s=0.01)


@asynccontextmanager
async def running(ledger: Ledger) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ledger.run)
        yield
        tasks.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


def requests_in(file: Path) -> int:
    return sum(total.requests for total in read_totals(file))


async def test_what_is_offered_is_written(tmp_path: Path) -> None:
    file, world = tmp_path / "requests.sqlite3", World()
    ledger = a_ledger(file)
    async with running(ledger):
        for _ in range(3):
            ledger.offer(world.answered())
        await until(lambda: requests_in(file) == 3)

    with closing(sqlite3.connect(file)) as db:
        row = db.execute(
            "SELECT id, day, api, model, program, client, conversation, key_name, phase, status,"
            " prompt_tokens, cached_tokens, generated_tokens, round(first_token_s, 3) FROM requests"
        ).fetchone()
    assert row == (
        *("req_1", "2027-01-15", "chat", "m", "claude-cli/2.1.330", "claude-cli", "session-1"),
        *("laptop", "done", 200, 50, 20, 3, 2.0),
    )


async def test_what_is_left_when_the_daemon_ends_is_still_written(tmp_path: Path) -> None:
    file, world = tmp_path / "requests.sqlite3", World()
    ledger = Ledger(file, gather_s=3600.0)
    async with running(ledger):
        ledger.offer(world.answered())
        await anyio.wait_all_tasks_blocked()

    assert requests_in(file) == 1


async def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, world = tmp_path / "requests.sqlite3", World()
    file.write_bytes(b"nonsense" * 1000)
    ledger = a_ledger(file)
    async with running(ledger):
        ledger.offer(world.answered())
        await until(lambda: file.with_name("requests.sqlite3.broken").exists())

    assert requests_in(file) == 1
    assert file.with_name("requests.sqlite3.broken").read_bytes().startswith(b"nonsense")
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "the ledger was damaged, a new one is begun"
    ]


async def test_what_a_newer_version_wrote_is_left_alone_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, world = tmp_path / "requests.sqlite3", World()
    with closing(open_ledger(file)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    ledger = a_ledger(file)
    async with running(ledger):
        ledger.offer(world.answered())
        await until(lambda: ledger.dropped == 1)
        ledger.offer(world.answered())

    assert ledger.dropped == 2
    assert len(caplog.records) == 1
    assert "versions up to" in caplog.text


class FullDisk(Store):
    """A disk that is full until somebody makes room."""

    full = True

    def write(self, rows: object) -> None:
        if type(self).full:
            raise sqlite3.OperationalError("database or disk is full")
        super().write(rows)  # type: ignore[arg-type]


async def test_a_full_disk_is_said_once_and_nothing_is_lost_that_fits_the_queue(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, logger="localllm.metrics")
    monkeypatch.setattr(ledger_module, "Store", FullDisk)
    monkeypatch.setattr(ledger_module, "_MOST_WAITING", 10)
    monkeypatch.setattr(FullDisk, "full", True)
    file, world = tmp_path / "requests.sqlite3", World()
    ledger = a_ledger(file)
    async with running(ledger):
        for _ in range(12):
            ledger.offer(world.answered())
        await until(lambda: bool(caplog.records))
        monkeypatch.setattr(FullDisk, "full", False)
        await until(lambda: requests_in(file) == 10 and len(caplog.records) > 1)

    with closing(sqlite3.connect(file)) as db:
        ids = [row[0] for row in db.execute("SELECT id FROM requests ORDER BY number")]
    assert ids == [f"req_{number}" for number in range(3, 13)]
    assert ledger.dropped == 2
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_prune_that_fails_does_not_write_anything_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_store: Store, _now: float) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Store, "prune", fails)
    file, world = tmp_path / "requests.sqlite3", World()
    ledger = a_ledger(file)
    async with running(ledger):
        ledger.offer(world.answered())
        await until(lambda: requests_in(file) == 1)
        ledger.offer(world.answered())
        await until(lambda: requests_in(file) == 2)

    assert requests_in(file) == 2


async def test_a_folder_that_cannot_be_made_is_no_reason_to_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").write_text("in the way")
    ledger = a_ledger(tmp_path / "a file" / "requests.sqlite3")
    async with running(ledger):
        ledger.offer(World().answered())
        await until(lambda: bool(caplog.records))

    assert "requests are served all the same" in caplog.text


def a_request(world: World, told: tuple[str, str, int, int, int | None, int]) -> Live:
    model, client, prompt, cached, reasoning, status = told
    live = world.begin(caller=caller_of(client))
    if model:
        live.admitted(f"{model}:1", model, "e")
    live.piece(tokens=prompt)
    live.used(prompt=prompt, cached=cached, generated=prompt // 2, reasoning=reasoning)
    live.ended(status, cancelled=status == 499)
    return live


REQUESTS = st.tuples(
    st.sampled_from(["", "a", "b"]),
    st.sampled_from(["x/1", "x/2", "y", ""]),
    st.integers(0, 2**70),
    st.integers(-5, 10**6),
    st.none() | st.integers(0, 1000),
    st.sampled_from([200, 400, 499, 502]),
)


@settings(max_examples=25, deadline=None)
@given(told=st.lists(REQUESTS, max_size=30))
async def test_the_sums_of_the_ledger_are_the_sums_of_its_requests(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[str, str, int, int, int | None, int]]
) -> None:
    file = tmp_path_factory.mktemp("ledger") / "requests.sqlite3"
    world, store = World(), Store(file, Keep(rows=5))
    lives = [a_request(world, one) for one in told]
    rows = [row_of(live, live.caller.program_name) for live in lives]

    for start in range(0, len(rows), 7):
        store.write(rows[start : start + 7])
    store.prune(NOON)
    store.close()

    expected: Counter[str] = Counter()
    for live in lives:
        expected["requests"] += 1
        expected[live.phase.value] += 1
        expected["prompt"] += live.prompt_tokens or 0
        expected["cached"] += live.cached_tokens or 0
        expected["generated"] += live.generated_tokens
        expected["reasoning"] += live.reasoning_tokens or 0
    found: Counter[str] = Counter()
    for total in read_totals(file):
        found["requests"] += total.requests
        found["failed"] += total.failed
        found["cancelled"] += total.cancelled
        found["done"] += total.requests - total.failed - total.cancelled
        found["prompt"] += total.prompt_tokens
        found["cached"] += total.cached_tokens
        found["generated"] += total.generated_tokens
        found["reasoning"] += total.reasoning_tokens
    assert +found == +expected
