"""What `localllm bench` takes, and how it draws what was measured."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from localllm.api.bench_views import BenchesView, LatencyView
from localllm.bench.comparing import compare
from localllm.cli.bench import Numbers, command
from localllm.cli.render_bench import render_bench, render_runs
from tests.unit.bench.a_bench import point, run, spread


def latency(p50: float, p95: float | None = None) -> LatencyView:
    return LatencyView(mean=p50, p50=p50, p95=p95, p99=None, max=2 * p50, n=3)


def test_numbers_are_read_in_their_order_each_once() -> None:
    assert Numbers(0, 9).convert("4, 0,4,2", None, None) == [4, 0, 2]


@pytest.mark.parametrize("wrong", ["", "1,,2", "a", "-1", "10", "1.5", "9" * 5000])
def test_what_are_no_numbers_in_bounds_is_refused(wrong: str) -> None:
    with pytest.raises(click.BadParameter):
        Numbers(0, 9).convert(wrong, None, None)


@pytest.mark.parametrize(
    "words", [["--depths", "x"], ["--repeat", "0"], ["--generate", "1"], ["--concurrency", "0"]]
)
def test_a_wrong_option_is_wrong_usage(words: list[str]) -> None:
    assert CliRunner().invoke(command, words).exit_code == 2


def test_a_table_shows_depths_and_crowds_and_a_dash_for_what_is_unknown() -> None:
    single = point(
        depth=4096,
        warm=True,
        prefill=spread(1234.0, off=0.02),
        first_token=latency(0.415),
        token_gap=latency(0.0082, 0.0119),
    )
    crowd = point(concurrency=4, prefill=None, throughput=spread(75.6), request=latency(1.66))

    text = "\n".join(render_bench(run(points=[single, crowd], notes=["it was hot"])))

    assert "small Q4_0 by llama-server b1 on RTX 5090, context 8,192, 4 slots" in text
    assert "4,096" in text
    assert "1,234 ±2%" in text
    assert "415 ms" in text
    assert "8.2 ms  11.9 ms  -" in text
    assert "75.6" in text
    assert "1.66 s" in text
    assert "note: it was hot" in text
    assert "the bench itself: 0.01 s of processor in 10 s, 0.1% of a core" in text


def test_a_comparison_says_by_how_much_and_whether_that_is_news() -> None:
    before = run("yesterday", [point(decode=spread(100.0))])
    now = run("today", [point(decode=spread(88.0))])

    lines = render_bench(run("today", now.points, comparison=compare(now, before)))

    line = next(line for line in lines if "decode:" in line)
    assert line.strip() == (
        "depth 0, decode: 100 then, 88.0 now, -12%: slower, beyond the noise of 3%"
    )


def test_tables_fit_into_80_columns() -> None:
    slow = LatencyView(mean=1.0, p50=59.9, p95=59.9, p99=59.9, max=599.0, n=100)
    most = {"decode": spread(999.9, off=0.2), "first_token": slow, "token_gap": slow}
    deep = point(depth=131072, prefill=spread(12345.0, off=0.2), **most)
    crowd = point(concurrency=256, throughput=spread(12345.0, off=0.2), request=slow, **most)
    view = run("20261130T115828.682-smollm2-135m-instruct", points=[deep, crowd], interrupted=True)

    tables = [line for line in render_bench(view) if "  " in line]

    assert len(tables) == 6
    assert max(map(len, [*tables, *render_runs(BenchesView(runs=[view]))])) <= 80


def test_depths_that_are_read_anew_are_so_in_the_title() -> None:
    said = "each depth read anew"

    assert said in "\n".join(render_bench(run(points=[point(), point(depth=4096)])))
    assert said not in "\n".join(render_bench(run(points=[point(), point(depth=9, warm=True)])))


def test_energy_is_shown_where_devices_tell_it() -> None:
    text = "\n".join(render_bench(run(points=[point(energy=384.0)])))

    assert "energy: 384 J of all devices, 1.00 J for each token written" in text
    assert "energy" not in "\n".join(render_bench(run()))


def test_saved_runs_are_a_table_with_what_could_not_be_read() -> None:
    view = BenchesView(runs=[run("a", interrupted=True)], left_out=["b.json: half"])

    lines = render_runs(view)

    assert lines[1].split() == ["a", "Q4_0", "100", "-", "part"]
    assert lines[-1] == "left out: b.json: half"
    assert render_runs(BenchesView(runs=[])) == ["no bench is saved; localllm bench makes one"]
