"""Where the screen has all from."""

from __future__ import annotations

import threading

import pytest

from localllm.errors import LocalLLMError, NotRunning
from localllm.tui.source import Source
from tests.fakes.installation import wait_until


def test_a_question_finds_the_daemon_wherever_it_is_by_now(daemon) -> None:
    source = Source(daemon.file, daemon.start)
    assert source.ask(lambda one: one.now()).daemon.version == "0.0.0"

    daemon.restart()

    assert source.ask(lambda one: one.now()).daemon.version == "0.0.0"


def test_without_a_daemon_a_question_says_so(daemon) -> None:
    daemon.stop()

    with pytest.raises(NotRunning, match="No daemon is running"):
        Source(daemon.file, daemon.start).ask(lambda one: one.now())


def test_closing_ends_what_waits_for_a_silent_daemon(daemon) -> None:
    daemon.silent = True
    source = Source(daemon.file, daemon.start)
    ended: list[LocalLLMError] = []

    def ask() -> None:
        try:
            source.ask(lambda one: one.now())
        except LocalLLMError as error:
            ended.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    wait_until(lambda: source._given and next(iter(source._given))._open, "a call under way")

    source.close()

    thread.join(timeout=5)
    assert ended
    with pytest.raises(NotRunning):
        source.ask(lambda one: one.now())


def test_an_answer_is_what_was_asked_for_or_why_it_cannot_be_had(daemon) -> None:
    source = Source(daemon.file, daemon.start)
    now = source.answer(lambda one: one.now())
    assert not isinstance(now, LocalLLMError)

    daemon.stop()

    assert isinstance(source.answer(lambda one: one.now()), NotRunning)
