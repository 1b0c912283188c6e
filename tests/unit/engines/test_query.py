"""Asking a program a question: the answer, or why there is none."""

from __future__ import annotations

import time

import pytest

from localllm.engines.query import Answer, ask

PATH = {"PATH": "/usr/bin:/bin"}


def ask_shell(script: str, environment: dict[str, str] | None = None) -> Answer:
    return ask(["/bin/sh", "-c", script], environment or PATH)


def test_the_answer_is_both_streams_and_its_last_line_is_of_standard_output() -> None:
    answer = ask_shell("echo proper; echo noise >&2")

    assert answer == Answer("noise\nproper\n")
    assert answer.last_line == "proper"


def test_the_program_sees_the_environment_that_it_is_given_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OURS", "ours")

    assert ask_shell("echo $GIVEN$OURS", {"GIVEN": "given"}).last_line == "given"


def test_an_answer_that_is_no_text_is_an_answer_all_the_same() -> None:
    assert ask_shell(r"printf '\377ok'").text == "�ok"


def test_a_silent_program_has_answered_nothing() -> None:
    assert (ask_shell("true"), ask_shell("true").last_line) == (Answer(""), "")


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        ("echo 'first'; exit 3", "/bin/sh: exited with 3: first"),
        ("echo out; echo ' why ' >&2; exit 1", "/bin/sh: exited with 1: why"),
        ("exit 1", "/bin/sh: exited with 1"),
        (
            "kill -ILL $$",
            "/bin/sh: killed by signal 4 (illegal instruction: this build needs instructions "
            "that this processor lacks)",
        ),
    ],
)
def test_a_program_that_fails_says_how_it_ended_and_its_last_words(
    script: str, failure: str
) -> None:
    assert ask_shell(script).failure == failure


@pytest.mark.parametrize("program", ["/nowhere/engine", "/etc/passwd"])
def test_a_program_that_cannot_be_run_is_named_with_the_systems_reason(program: str) -> None:
    failure = ask([program], PATH).failure

    assert failure is not None
    assert failure.startswith(f"{program} cannot be run: ")


def test_a_program_that_hangs_is_given_up_and_ended() -> None:
    asked_at = time.monotonic()

    answer = ask(["/bin/sh", "-c", "echo begun; exec sleep 60"], PATH, timeout_s=0.2)

    assert answer == Answer("", "/bin/sh did not answer within 0 s")
    assert time.monotonic() - asked_at < 10
