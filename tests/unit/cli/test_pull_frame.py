"""How far a pull is, as people read it."""

from __future__ import annotations

from typing import Any

import pytest

from localllm.cli.columns import columns
from localllm.cli.pull_frame import FileLine, Frame, Meter, render_frame, render_line

MIB, GIB = 1 << 20, 1 << 30


def a_line(path: str = "m.gguf", size: int = 4 * GIB, here: int = GIB, **more: Any) -> FileLine:
    return FileLine(path, size, here, **{"state": "fetching", "bytes_per_s": 50.0 * MIB, **more})


def a_frame(*files: FileLine, **more: Any) -> Frame:
    plain: dict[str, Any] = {"title": "m Q4_K_M", "bytes_per_s": 50.0 * MIB, "note": None}
    return Frame(files=files or (a_line(),), **{**plain, **more})


def test_a_file_has_its_share_its_bytes_its_speed_and_the_time_that_is_left() -> None:
    title, line = render_frame(a_frame(), 80)

    assert title == "m Q4_K_M"
    assert line == "  m.gguf  ━━━─────────   25%  1.0 of 4.0 GiB  50.0 MiB/s  1 min 2 s left"


def test_several_files_have_a_line_each_and_their_sum() -> None:
    files = (
        a_line("a.gguf"),
        a_line("b.gguf", here=0, state="waiting"),
        a_line("c.json", 100, 100, state="done"),
        a_line("d.gguf", state="elsewhere"),
    )

    _, a, b, c, d, whole = render_frame(a_frame(*files), 100)

    assert "25%  1.0 of 4.0 GiB  50.0 MiB/s" in a
    assert b.endswith("0%  0.0 of 4.0 GiB  waiting")
    assert c.endswith("100%  1 KiB  done")
    assert d.endswith("another program fetches it")
    assert whole.startswith("  in all")
    assert "16%  2.0 of 12.0 GiB  50.0 MiB/s  3 min 25 s left" in whole


def test_what_stands_in_the_way_is_the_last_line() -> None:
    lines = render_frame(a_frame(note="no answer from the hub: again in 8 s"), 80)

    assert lines[-1] == "  no answer from the hub: again in 8 s"


def test_of_many_files_those_at_work_are_shown_in_their_order_and_the_others_counted() -> None:
    idle = [a_line(f"done-{i}", 10 - i, 10 - i, state="done") for i in range(10)]
    files = [*idle[:5], a_line("working"), *idle[5:]]

    lines = render_frame(a_frame(*files), 100)

    names = [line.split()[0] for line in lines[1:]]
    assert names == ["done-0", "done-1", "done-2", "done-3", "done-4", "working", "and", "in"]
    assert lines[7] == "  and 5 more files, 5 of them done"


@pytest.mark.parametrize("width", [20, 40, 60, 79, 120])
def test_no_line_is_as_wide_as_the_terminal(width: int) -> None:
    files = (a_line(f"{'long-' * 20}.gguf"), a_line("模型" * 30, here=0, state="elsewhere"))
    frame = a_frame(*files, title="t" * 200, note="n" * 200)

    lines = render_frame(frame, width)

    assert max(map(columns, lines)) < width
    assert any("25%" in line for line in lines) or width == 20


def test_a_narrow_terminal_has_figures_and_no_bar() -> None:
    assert "━" not in "".join(render_frame(a_frame(), 60))


@pytest.mark.parametrize(
    ("width", "said"),
    [
        (67, "1.0 of 4.0 GiB  50.0 MiB/s  1 min 2 s left"),
        (52, "25%  50.0 MiB/s  1 min 2 s left"),
        (40, "25%  1 min 2 s left"),
    ],
)
def test_where_it_is_narrow_the_share_and_the_time_that_is_left_stay(width: int, said: str) -> None:
    _, line = render_frame(a_frame(a_line("a-model-with-a-long-name-Q4_K_M.gguf")), width)

    assert line.endswith(said)
    assert line.startswith("  a-model")


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_columns_stay_where_they_are(width: int) -> None:
    name = "a-model-with-a-long-name-Q4_K_M.gguf"
    files = [a_line(name, here=here, bytes_per_s=s) for here, s in ((0, None), (GIB, 9e9))]
    files.append(a_line(name, here=4 * GIB, state="done"))

    lines = [render_frame(a_frame(file), width)[1] for file in files]

    assert len({line.index("%") for line in lines}) == 1


def test_names_and_notes_of_others_cannot_steer_the_terminal() -> None:
    frame = a_frame(a_line("a/\x1b[2Jm\u202e.gguf"), title="t\x1b]0;x\x07", note="n\rx\x9b")

    lines = render_frame(frame, 100)

    assert all(line.isprintable() for line in lines)
    assert render_line(frame).isprintable()


def test_all_is_said_only_when_nothing_is_lacking() -> None:
    almost = render_line(a_frame(a_line(here=4 * GIB - 1)))
    all_ = render_line(a_frame(a_line(here=4 * GIB, state="done")))

    assert " 99% " in almost
    assert all_ == "m Q4_K_M: 100%  4.0 GiB  done"


def test_a_speed_that_is_not_known_is_not_said() -> None:
    assert render_line(a_frame(bytes_per_s=None)) == "m Q4_K_M:  25%  1.0 of 4.0 GiB"


def test_a_speed_is_the_mean_of_the_last_seconds() -> None:
    meter = Meter()

    speeds = [meter.at(now, count) for now, count in ((0, 0), (1, 100), (6, 100), (20, 200))]

    assert speeds[:2] == [None, 100]
    assert speeds[2] is None  # nothing came in the last five
    assert speeds[3] == pytest.approx(100 / 14)


def test_what_was_here_before_is_no_speed() -> None:
    meter = Meter()
    meter.at(0.0, 5 * GIB)

    assert meter.at(1.0, 5 * GIB + 100) == 100


def test_a_file_that_is_begun_anew_has_no_speed_at_first() -> None:
    meter = Meter()
    meter.at(0.0, 100)
    meter.at(1.0, 200)

    assert meter.at(2.0, 0) is None
    assert meter.at(3.0, 50) == 50


def test_readings_that_come_fast_are_not_all_kept() -> None:
    meter = Meter()
    for i in range(10_000):
        meter.at(i / 1000, i)

    assert len(meter._seen) < 100
