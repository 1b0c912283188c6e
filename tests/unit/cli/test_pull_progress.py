"""A pull that goes on, on a terminal and elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from localllm.cli.pull_frame import FileLine, Frame
from localllm.cli.pull_progress import Framing, Log, Screen
from localllm.store.job import FileProgress, FileState, PullProgress
from tests.unit.cli.a_pull import a_file, a_pull

MIB = 1 << 20


def a_frame(here: int, size: int = 100 * MIB, note: str | None = None) -> Frame:
    return Frame("m", (FileLine("m.gguf", size, here, "fetching"),), None, note)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def shown(terminal: str) -> list[str]:
    """What a terminal shows after it was written this."""
    lines: list[str] = [""]
    at = 0
    for text in terminal.replace("\x1b[", "\0\x1b[").split("\0"):
        rest = text
        if text.startswith("\x1b["):
            end = next(i for i, c in enumerate(text[2:], 2) if c.isalpha())
            argument, verb, rest = text[2:end], text[end], text[end + 1 :]
            match verb:
                case "F":
                    at -= int(argument)
                case "K":
                    lines[at] = ""
                case "J":
                    del lines[at:]
                    lines.append("")
        *before, last = rest.split("\n")
        for line in before:
            lines[at] += line
            at += 1
            if at == len(lines):
                lines.append("")
        lines[at] += last
    return [line for line in lines if line]


def a_screen(clock: Callable[[], float], width: int = 80) -> tuple[Screen, list[str]]:
    written: list[str] = []
    return Screen(written.append, lambda: width, clock=clock), written


def test_each_frame_is_drawn_over_the_one_before() -> None:
    screen, written = a_screen(Clock())

    screen.show(a_frame(10 * MIB, note="the hub is busy"))
    screen.show(a_frame(20 * MIB))

    assert len(shown(written[0])) == 3
    assert [line.split()[0] for line in shown("".join(written))] == ["m", "m.gguf"]
    assert "20%" in shown("".join(written))[1]


def test_frames_that_come_faster_than_anybody_reads_are_left_out_but_for_the_last() -> None:
    screen, written = a_screen(lambda: 5.0)

    for here in range(0, 101, 10):
        screen.show(a_frame(here * MIB))
    assert len(written) == 1
    screen.end()

    assert "100%" in shown("".join(written))[1]


def test_what_is_said_after_the_end_stays_below() -> None:
    screen, written = a_screen(Clock())
    screen.show(a_frame(10 * MIB))
    screen.end()
    screen.show(a_frame(20 * MIB))

    assert len(shown("".join(written))) == 4


def test_elsewhere_there_is_a_line_for_every_tenth() -> None:
    said: list[str] = []
    log = Log(said.append)

    for here in range(0, 10_001, 7):
        log.show(a_frame(min(here, 10_000) * MIB // 100))
    log.show(a_frame(100 * MIB))
    log.show(a_frame(100 * MIB))

    assert len(said) == 10
    assert "100%" in said[-1]


def test_elsewhere_what_stands_in_the_way_is_said_once_though_the_seconds_run_down() -> None:
    said: list[str] = []
    log = Log(said.append)

    for note in ("again in 8 s", "again in 7 s", None, "again in 9 s", "busy\x1b[2J"):
        log.show(a_frame(0, note=note))

    assert said == ["m: again in 8 s", "m: again in 9 s", "m: busy?[2J"]


def test_a_pull_of_the_daemons_is_shown_with_the_daemons_speed() -> None:
    framing = Framing("m", Clock())
    framing.of_view(a_pull(a_file(here=0)))

    frame = framing.of_view(a_pull(a_file(here=100), speed=7.0, note="slow"))

    assert (frame.bytes_per_s, frame.note, frame.here_bytes) == (7.0, "slow", 100)
    assert frame.files[0].bytes_per_s == 100


def test_a_pull_of_this_process_has_a_speed_from_its_second_moment_on() -> None:
    framing = Framing("m", Clock())

    def at(here: int) -> Frame:
        file = FileProgress("m.gguf", 1000, here, FileState.FETCHING)
        return framing.of_progress(PullProgress((file,), "note"))

    assert at(0).bytes_per_s is None
    second = at(10)
    assert (second.bytes_per_s, second.note, second.files[0].state) == (10, "note", "fetching")


@pytest.mark.parametrize("size", [0, 1])
def test_an_empty_file_is_all_there(size: int) -> None:
    said: list[str] = []

    Log(said.append).show(a_frame(size, size))

    assert "100%" in said[0]
