"""Carries `localllm bench` out: measures, keeps what was measured also if it is broken off, shows it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import msgspec

from localllm.api.bench_views import BenchView
from localllm.api.replay_views import AllBenchesView
from localllm.api.sync_client import require_daemon
from localllm.bench.beginning import Begun, begin
from localllm.bench.comparing import compare
from localllm.bench.errors import NotMeasurable
from localllm.bench.points import Wish
from localllm.bench.replays_saved import read_replays
from localllm.bench.reporting import report
from localllm.bench.saved import LAST, find_last, find_run, read_runs, save
from localllm.cli.conventions import allow_tls, here, print_document, say
from localllm.cli.render_bench import render_bench, render_runs
from localllm.cli.render_replay import render_replays
from localllm.cli.served import read_connection
from localllm.errors import LocalLLMError

NONE = "none"
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be done beside measuring.

    Args:
        compare: A run's id, `last` or `none`.
    """

    beside_others: bool
    save: bool
    compare: str
    as_json: bool


def run_bench(model: str | None, wish: Wish, asked: Asked) -> None:
    """Measure, keep, compare, show.

    Raises:
        LocalLLMError: Nothing could be measured; why.
        SystemExit: It was interrupted; what was measured is kept and shown.
    """
    allow_tls()  # asyncio imports it
    paths = here()
    client = require_daemon(paths.daemon_file)
    connection = read_connection(paths, model)
    if not connection.writes:
        raise NotMeasurable(
            f"{connection.model} writes no answers.",
            why="it embeds or ranks texts, and a bench measures how answers are written",
            fix="localllm bench MODEL, with a model that chats",
        )
    before = (
        None if asked.compare in {LAST, NONE} else find_run(read_runs(paths.benches), asked.compare)
    )
    probe = client.status().hardware  # now: the daemon may be gone when the figures are there
    begun = begin(client, connection.model, wish, say, beside_others=asked.beside_others)
    began_at, began = time.time(), time.monotonic()
    interrupted, failure = _run(begun)
    view = report(
        begun,
        probe,
        wish,
        began_at=began_at,
        took_s=time.monotonic() - began,
        interrupted=interrupted or failure is not None,
    )
    if asked.compare == LAST:
        before = find_last(read_runs(paths.benches), view)
    _finish(view, before, asked)
    if failure is not None:
        raise failure
    if interrupted:
        sys.exit(_INTERRUPTED)


def _run(begun: Begun) -> tuple[bool, LocalLLMError | None]:
    """Measure; tell whether it was interrupted, and what ended it early though something is measured."""
    try:
        begun.bench.run()
    except KeyboardInterrupt:
        if not any(heap.volleys for heap in begun.bench.heaps):
            raise
        return True, None
    except LocalLLMError as error:
        if not any(heap.volleys for heap in begun.bench.heaps):
            raise
        return False, error
    return False, None


def _finish(view: BenchView, before: BenchView | None, asked: Asked) -> None:
    """Keep it and show it: what cannot be written is shown all the same."""
    if before is not None:
        view = msgspec.structs.replace(view, comparison=compare(view, before))
    if asked.save:
        try:
            view = save(here().benches, view)
        except OSError as error:
            say(f"not saved: {error.filename or here().benches}: {error.strerror or error}")
    if view.interrupted:
        kept = "kept" if view.saved else "shown"
        say(f"broken off: what was measured until then is {kept}")
    print_document(view, render_bench(view), as_json=asked.as_json)


def show_runs(*, as_json: bool) -> None:
    """Show what is saved, with or without a daemon."""
    runs, replays = read_runs(here().benches), read_replays(here().benches)
    view = AllBenchesView(
        runs=list(runs.views),
        left_out=[*runs.left_out, *replays.left_out],
        replays=replays.replays,
    )
    print_document(view, [*render_runs(view), *render_replays(view)], as_json=as_json)
