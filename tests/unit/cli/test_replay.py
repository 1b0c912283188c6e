"""How a replay is asked for, kept and shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner

from localllm.api.bench_views import BenchMachineView, BenchModelView, LatencyView
from localllm.api.replay_views import AllBenchesView, CacheView, FailureView, PassView, ReplayView
from localllm.api.sync_client import not_running
from localllm.bench.replay_figures import recorded_pass
from localllm.bench.replays_saved import last_of, read_replays, save_replay
from localllm.cli import bench, bench_replay
from localllm.cli.bench_replay import find_file
from localllm.cli.rates import Rates
from localllm.cli.render_replay import render_replay, render_replays
from localllm.errors import NotRunning
from tests.unit.bench.a_shape import a_shape

SHAPES = [a_shape(n, cached_tokens=30, first_token_ms=100.0, wait_ms=5.0) for n in range(1, 21)]
RECORDED = recorded_pass(SHAPES)
MODEL = BenchModelView(
    id="smollm2",
    quant="Q4_1",
    file=None,
    file_bytes=None,
    sha256=None,
    engine="xllamacpp",
    engine_version="1",
    engine_args=[],
    device="processor",
    context=4096,
    parallel=2,
    layers_on_device=0,
    layers=31,
)
MACHINE = BenchMachineView(
    os="linux", arch="x86_64", cpu="a processor", cores=2, memory_total=1, devices=[]
)


def a_pass(rate: float, **said: Any) -> PassView:
    return msgspec.structs.replace(RECORDED, rate=rate, late=RECORDED.wait, **said)


def a_replay(**said: Any) -> ReplayView:
    usual: dict[str, Any] = {
        "id": "20260101T000000-smollm2",
        "at": 1.8e9,
        "version": "1",
        "traffic": "/state/traffic/a.jsonl",
        "recorded_at": 1.7e9,
        "recorded_model": "smollm2",
        "model": MODEL,
        "machine": MACHINE,
        "closed": False,
        "sent": 20,
        "left_out": 0,
        "recorded": RECORDED,
        "passes": [a_pass(1.0), a_pass(5.0)],
        "notes": [],
    }
    return ReplayView(**{**usual, **said})


def test_the_recording_stands_above_each_pass() -> None:
    lines = render_replay(a_replay())

    assert lines[0] == "20 requests of /state/traffic/a.jsonl"
    assert lines[1].startswith("to smollm2 by xllamacpp")
    firsts = [line.split()[0] for line in lines[3:7]]
    assert firsts == ["rate", "recorded", "1", "5"]
    assert any(
        line.startswith("rate 5: 20 of 20 prompts and 20 answers are as long") for line in lines
    )


def test_it_fits_into_eighty_columns_with_the_widest_figures() -> None:
    slow = LatencyView(mean=1.0, p50=5_400.0, p95=59_999.0, p99=100_000.0, max=1.0, n=200)
    wide = a_pass(
        1000.0,
        requests=20_000,
        failed=20_000,
        took=86_399.0,
        most_at_once=1024,
        written_tps=12_345.0,
        read_tps=123_456.0,
        **dict.fromkeys(("wait", "first_token", "token_gap", "request"), slow),
    )

    lines = render_replay(a_replay(passes=[wide], recorded=wide), a_replay(passes=[wide]))

    assert [line for line in lines if len(line) > 80 and "then," not in line] == []
    assert any(line.startswith("recorded gaps are each request's average") for line in lines)


def test_of_what_nobody_knows_nothing_is_said() -> None:
    nobody = CacheView(share=None, recorded=None, alike=0, requests=0)
    unknown = a_pass(1.0, cache=nobody, most_at_once=None, written_tps=None)

    lines = render_replay(a_replay(passes=[unknown]))

    assert not any("0 of 0" in line for line in lines)


def test_failures_and_notes_are_told_without_tricks_on_the_terminal() -> None:
    failed = a_pass(2.0, failed=3, failures=[FailureView(says="\x1b[2Jstatus 503", requests=3)])

    lines = render_replay(a_replay(passes=[failed], notes=["left out: 2 requests \x1b[1m"]))

    assert "\x1b" not in "\n".join(lines)
    assert any("3 requests failed" in line and "status 503" in line for line in lines)
    assert any(line.startswith("note: left out: 2 requests") for line in lines)


def test_an_earlier_replay_of_the_same_is_set_beside_it_rate_by_rate() -> None:
    before = a_replay(id="earlier", passes=[a_pass(5.0)])

    lines = render_replay(a_replay(), before)

    at = lines.index("beside earlier:")
    assert lines[at + 1].startswith(
        "  rate 5: 8.2 tok/s then, 8.2 tok/s now; first token p50 100 ms"
    )
    assert len(lines) == at + 2, "rate 1 was not replayed then"


def test_replays_are_kept_and_the_last_of_the_same_traffic_is_found(tmp_path: Path) -> None:
    for id_, said in (
        ("1", {}),
        ("2", {"traffic": "/elsewhere/b.jsonl"}),
        ("3", {"closed": True}),
        ("4", {"interrupted": True}),
        ("40", {"sent": 3}),
    ):
        save_replay(tmp_path, a_replay(id=id_, **said))
    (tmp_path / "replays" / "5.json").write_text('{"format": 99}')
    (tmp_path / "replays" / "6.json").write_text("?")

    kept = read_replays(tmp_path)

    assert [one.id for one in kept.replays] == ["40", "4", "3", "2", "1"]
    assert len(kept.left_out) == 2
    found = last_of(kept, a_replay(id="new", traffic="/moved/a.jsonl"))
    assert found is not None
    assert found.id == "1"
    assert kept.replays[0].saved == str(tmp_path / "replays" / "40.json")


def test_saved_replays_are_listed() -> None:
    listed = render_replays(AllBenchesView(runs=[], replays=[a_replay(interrupted=True)]))

    assert "20260101T000000-smollm2 (part)" in listed[2]
    assert "1, 5" in listed[2]
    assert render_replays(AllBenchesView(runs=[], replays=[])) == []


@pytest.mark.parametrize(
    ("said", "rates"), [("1", (1.0,)), ("1,2,5", (1.0, 2.0, 5.0)), ("0.5, 0.5", (0.5,))]
)
def test_rates_are_numbers_with_commas(said: str, rates: tuple[float, ...]) -> None:
    assert Rates().convert(said, None, None) == rates


@pytest.mark.parametrize("said", ["", "fast", "1,,2", "0", "-1", "nan", "inf", "1e9"])
def test_what_is_no_rate_is_refused(said: str) -> None:
    with pytest.raises(click.BadParameter):
        Rates().convert(said, None, None)


def test_a_file_is_found_by_its_path_or_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "one.jsonl"
    file.write_text("{}")

    assert find_file(str(file), tmp_path / "nowhere") == file
    assert find_file("one", tmp_path) == file
    with pytest.raises(click.UsageError, match="record ls"):
        find_file("two", tmp_path)


@dataclass
class Broken:
    """A replay that ends early."""

    ends_with: BaseException
    passes: list[PassView] = field(default_factory=list[PassView])
    plan: Any = field(default_factory=lambda: SimpleNamespace(notes=[]))

    def run(self) -> None:
        raise self.ends_with

    def report(self, *, interrupted: bool) -> ReplayView:
        return a_replay(passes=self.passes, interrupted=interrupted)


@pytest.mark.parametrize("ends_with", [KeyboardInterrupt(), not_running("it went away")])
def test_one_that_is_broken_off_shows_and_keeps_the_passes_that_were_over(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ends_with: BaseException,
) -> None:
    begun = Broken(ends_with, [a_pass(1.0)])
    monkeypatch.setattr(bench_replay, "begin_replay", lambda *_: begun)
    monkeypatch.setattr(bench_replay, "here", lambda: SimpleNamespace(benches=tmp_path))

    with pytest.raises((SystemExit, NotRunning)) as ended:
        bench_replay.run_replay(None, None, None, save=True, as_json=False)  # type: ignore[arg-type]

    assert getattr(ended.value, "code", None) in {130, "not_running"}
    out, err = capsys.readouterr()
    assert "broken off: what follows is of the 1 pass before" in err
    assert "rate 1: 20 of 20 prompts" in out
    (kept,) = read_replays(tmp_path).replays
    assert kept.interrupted


def test_one_that_is_broken_off_before_a_pass_is_over_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_replay, "begin_replay", lambda *_: Broken(not_running("gone")))

    with pytest.raises(NotRunning):
        bench_replay.run_replay(None, None, None, save=True, as_json=False)  # type: ignore[arg-type]

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--rate 2", "--rate needs --replay FILE"),
        ("--closed", "--closed needs --replay FILE"),
        ("--replay x --depths 0", "--depths does not go with --replay"),
        ("--replay x --cold", "--warm does not go with --replay"),
        ("--list --replay x", "--list does not go with --replay"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(words: str, said: str) -> None:
    ran = CliRunner().invoke(bench.command, words.split())

    assert ran.exit_code == 2
    assert said in ran.output
