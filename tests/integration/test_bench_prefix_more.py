"""The benchmark of prefixes tells right where limits lie, what saving costs, and what is too old to be used."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from subprocess import PIPE, Popen
from time import monotonic
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import one of the benchmark's parts by name."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return lambda name: importlib.import_module(f"bench_prefix_{name}")


def turns(bench: Any, *beyond: int | None) -> list[Any]:
    row = bench("talks").Row
    return [
        row("turn", "codex", None if tokens is None else 900, 800, tokens, 0.5, ratio=0.05, met=met)
        for tokens in beyond
        for met in [tokens is not None and tokens <= 64]
    ]


@pytest.mark.parametrize(
    ("beyond", "told", "met", "note"),
    [
        ((1, 3), 2, True, "the mean of 2 turns, 0 were read again"),
        ((0, 900), 450, False, "the mean of 2 turns, 1 were read again"),
        ((65, 65), 65, False, "the mean of 2 turns, 2 were read again"),
        ((1, None), 1, False, "the mean of 2 turns, 0 were read again, 1 were not answered"),
    ],
)
def test_the_mean_of_turns_is_met_only_if_each_is(
    bench: Any, beyond: tuple[int | None, ...], told: int, met: bool, note: str
) -> None:
    talks = bench("talks")

    row = bench("limits").mean("4 agents", turns(bench, *beyond), talks.WARM)

    assert (row.name, row.beyond_tokens, row.met, row.note) == ("4 agents", told, met, note)


def test_a_row_that_shows_a_limit_has_no_target_to_miss(bench: Any) -> None:
    row = bench("limits").mean("4 agents, disk for 0", turns(bench, 900, 900), "")

    assert (row.beyond_tokens, row.met, row.verdict) == (900, None, "")


@pytest.mark.parametrize("prompts", [1, 2, 3, 4])
def test_there_is_room_for_so_many_saved_prompts_even_grown_and_for_no_more(
    bench: Any, prompts: int
) -> None:
    room = bench("limits").room_bytes(prompts, 1000)

    assert prompts * 1100 <= room < (prompts + 1) * 1000
    assert bench("limits").room_bytes(0, 1000) == 0


def a_round(bench: Any, saving_s: float, beside_s: float, saved_s: float) -> dict[str, Any]:
    """100 tokens each."""
    streams = bench("streams")
    saving = streams.Streamed(100, saving_s, 0.2, saves=1, saved_s=saved_s)
    beside = streams.Streamed(100, beside_s, 0.1)
    return {streams.SAVING: saving, streams.NO_ROOM: beside, streams.OFF: beside}


@pytest.mark.parametrize(
    ("rounds", "ratio", "share", "met"),
    [
        ([(10.0, 10.0, 0.0)], 1.0, 0.0, [True, True, True]),
        ([(10.0, 9.8, 0.2)], 0.98, 0.02, [False, False, False]),
        ([(10.0, 9.95, 0.09), (10.0, 2.0, 0.09), (10.0, 9.95, 0.09)], 0.995, 0.009, [True] * 3),
    ],
)
def test_saving_is_judged_by_the_median_of_rounds_and_by_the_time_it_took(
    bench: Any,
    monkeypatch: pytest.MonkeyPatch,
    rounds: list[tuple[float, float, float]],
    ratio: float,
    share: float,
    met: list[bool],
) -> None:
    streams = bench("streams")
    monkeypatch.setattr(streams, "can_watch", lambda: True)

    rows = list(streams.rows_of([a_round(bench, *each) for each in rounds]))

    assert [round(row.ratio, 6) for row in rows] == [ratio, ratio, share]
    assert [row.met for row in rows] == met


def test_a_stream_beside_which_nothing_was_saved_says_nothing_of_saving(bench: Any) -> None:
    streams = bench("streams")
    still = streams.Streamed(100, 10.0, 0.1)

    *_, row = streams.rows_of([dict.fromkeys(streams.KINDS, still)])

    assert row.met is not True


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a file is written")
def test_it_is_seen_when_files_are_written_and_for_how_long(bench: Any, tmp_path: Path) -> None:
    watch = bench("watch")

    write = "exec 3>a.kv; echo half >&3; echo; read _; echo rest >&3; exec 3>&-; echo {} >a.json"
    with watch.watching(tmp_path, ".kv") as written:
        with Popen(["sh", "-c", write], cwd=tmp_path, stdin=PIPE, stdout=PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            half = monotonic()
            writer.communicate(b"\n")
    (began, ended), *others = written.spans

    assert not others
    assert began <= ended
    assert ended >= half
    assert written.count(began, ended) == 1
    assert written.count(ended + 1, ended + 2) == 0
    assert written.within_s(began - 1, ended + 1) == pytest.approx(ended - began)
    assert written.within_s(ended + 1, ended + 2) == 0


@pytest.mark.parametrize(
    ("spoil", "changed"),
    [("_of_another_build", "key"), ("_older", "format"), ("_newer", "format")],
)
def test_an_entry_of_another_time_differs_in_one_thing(
    bench: Any, tmp_path: Path, spoil: str, changed: str
) -> None:
    data, beside = tmp_path / "a1b2c3d4.kv", tmp_path / "a1b2c3d4.json"
    before = {"format": 1, "key": "k", "tokens": 900}
    data.write_bytes(b"cache")
    beside.write_text(json.dumps(before))
    beside.chmod(0o600)

    getattr(bench("rows"), spoil)(data)

    after = json.loads(beside.read_text())
    assert [name for name in before if after[name] != before[name]] == [changed]
    assert (data.read_bytes(), beside.stat().st_mode & 0o777) == (b"cache", 0o600)


def test_an_engine_that_tells_a_prompts_tokens_at_the_beginning_alone_is_read_right(
    bench: Any,
) -> None:
    begun = {"input_tokens": 20, "cache_read_input_tokens": 70, "output_tokens": 0}
    event = {"type": "message_delta", "usage": {"output_tokens": 3}}

    assert bench("asking").counted_in(event, begun) == (90, 70, 3)


@pytest.mark.parametrize("agent", ["claude-code", "codex", "opencode"])
def test_an_engine_that_calls_no_tools_is_asked_the_same_without_them(
    bench: Any, agent: str
) -> None:
    one = bench("shapes").conversation(agent, "m", scale=0.1, seed=3)

    without = one.without_tools().request.body

    assert "tools" in one.request.body
    assert not [name for name in without if "tool" in name]
    assert {**one.request.body, **without} == one.request.body
    assert bench("shapes").side_requests(one.without_tools())
