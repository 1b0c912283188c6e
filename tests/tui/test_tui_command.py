"""`localllm tui` and `up --tui`, as commands."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fakes import scenes
from tests.fakes.installation import Installation
from tests.fakes.scripted_daemon import ScriptedDaemon


@pytest.fixture
def installation(tmp_path) -> Installation:
    return Installation(tmp_path)


@pytest.mark.parametrize("words", [("tui",), ("up", "--tui")])
def test_without_a_terminal_it_is_a_usage_error_and_nothing_is_started(installation, words) -> None:
    process = installation.start(*words)
    out, err = process.communicate(timeout=20)

    assert process.returncode == 2
    assert "The screen needs a terminal" in err
    assert out == ""
    assert not (installation.state / "daemon.json").exists()


@pytest.mark.parametrize("is_silent", [False, True])
def test_on_a_terminal_it_shows_the_daemon_and_q_leaves_it_alone(installation, is_silent) -> None:
    installation.state.mkdir(parents=True)
    with ScriptedDaemon(scenes.rtx5090(), installation.state) as daemon, a_terminal() as ours:
        process = installation.start("tui", on_terminal=ours.theirs, stdin=ours.theirs)
        ours.wait_for("qwen3-32b")
        daemon.silent = is_silent
        if is_silent:
            ours.wait_for("does not answer")  # and a call is under way, which is not waited for

        ours.type("q")

        assert process.wait(timeout=10) == 0
        assert daemon.scene.asked == []


class Terminal:
    """What a program shows and reads, from the side of the person."""

    def __init__(self, ours: int, theirs: int) -> None:
        self._ours, self.theirs = ours, theirs
        self._seen = b""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 20
        while text.encode() not in self._seen:
            assert time.monotonic() < deadline, self._seen[-2000:]
            if select.select([self._ours], [], [], 0.1)[0]:
                self._seen += os.read(self._ours, 1 << 16)

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())


@contextmanager
def a_terminal() -> Iterator[Terminal]:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    try:
        yield Terminal(ours, theirs)
    finally:
        os.close(theirs)
        os.close(ours)


@pytest.mark.parametrize("other", ["--foreground", "--json"])
def test_up_on_the_screen_goes_with_nothing_that_needs_the_terminal_too(
    installation, other
) -> None:
    process = installation.start("up", "--tui", other)
    _, err = process.communicate(timeout=20)

    assert process.returncode == 2
    assert "--tui goes with neither --foreground nor --json" in err
