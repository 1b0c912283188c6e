"""What a request came to is counted once for all: `/metrics`, the ledger, and what was saved today."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import anyio
import pytest

from localllm.gateway.metering import Metering, open_metering
from localllm.metrics import names
from localllm.metrics.callers import caller_of
from localllm.metrics.ledger_totals import read_totals
from localllm.metrics.live import Api
from localllm.metrics.savings import Spared, day_of
from localllm.paths import Paths, paths_for
from localllm.supervisor.bus import EventBus

TODAY = day_of(time.time())


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_for({"LOCALLLM_HOME": str(tmp_path), "HOME": str(tmp_path)})


def opened(paths: Paths) -> Metering:
    return open_metering(paths, {}, {"m:1": 100.0}.get)


def ask(metering: Metering, *, cached: int) -> None:
    live = metering.requests.begin(Api.CHAT, "m", caller_of("a/1", None, None), stream=False)
    live.admitted("m:1", "m", "xllamacpp")
    live.used(prompt=cached + 10, cached=cached, generated=1)
    live.ended(200)


async def written(metering: Metering) -> None:
    """Let it run, and end: what is left is written then."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(metering.run, EventBus())
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_what_was_saved_is_the_same_in_metrics_ledger_and_status(paths: Paths) -> None:
    metering = opened(paths)

    ask(metering, cached=300)
    await written(metering)

    counted = metering.counters.counts[names.SAVED_SECONDS].by["m",]
    [total] = read_totals(paths.requests_db)
    assert counted == total.saved_s == 3.0
    assert total.saved_tokens == 300
    assert metering.savings.on(TODAY) == Spared(300, 3.0)


@pytest.mark.anyio
async def test_a_daemon_that_is_started_again_goes_on_from_what_was_saved_today(
    paths: Paths,
) -> None:
    first = opened(paths)
    ask(first, cached=300)
    await written(first)

    again = opened(paths)
    before = again.savings.on(TODAY)
    ask(again, cached=100)

    assert before == Spared(300, 3.0)
    assert again.savings.on(TODAY) == Spared(400, 4.0)


def test_a_ledger_that_cannot_be_read_keeps_no_daemon_from_starting(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    paths.requests_db.parent.mkdir(parents=True, exist_ok=True)
    paths.requests_db.write_bytes(b"nonsense" * 1000)

    with caplog.at_level(logging.WARNING):
        metering = opened(paths)
    ask(metering, cached=100)

    assert metering.savings.on(TODAY) == Spared(100, 1.0)
    assert "counted from now on" in caplog.text
