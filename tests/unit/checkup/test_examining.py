"""All checks at once: what hangs is told, what fails hides nothing, and the whole ends in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from localllm.api.checkup_views import CheckupView
from localllm.checkup.all_checks import all_checks
from localllm.checkup.examining import Check, examine, time_left_s
from localllm.checkup.facts import Fact
from localllm.checkup.finding import Area, Finding, Severity, ok, sorted_for_people, worst
from localllm.checkup.known import Known
from localllm.checkup.report import render_checkup as report
from localllm.cli.render_checkup import render_checkup
from tests.unit.checkup.a_place import a_known, a_place, bad, by_id

OK = ok("x.fine", Area.DISK, "All is well.")
PROBLEM = Finding(
    "x.bad", Area.HUB, Severity.PROBLEM, "It is broken.", "it does not work", "mend it"
)
NOTE = Finding("x.note", Area.FILES, Severity.NOTE, "It is odd.")


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """What hangs until the test is over."""
    over = threading.Event()
    yield over
    over.set()


def a_check(id_: str, *findings: Finding) -> Check:
    return Check(id_, Area.DISK, lambda _: iter(findings))


def test_a_check_that_hangs_is_a_finding_and_keeps_nobody(
    tmp_path: Path, stuck: threading.Event
) -> None:
    hangs = Check(
        "far", Area.DISK, lambda _: stuck.wait() and iter(()), "the server is gone", "umount"
    )
    began = monotonic()

    told = examine([a_check("near", OK), hangs], a_known(a_place(tmp_path), within_s=0.2))

    assert monotonic() - began < 1.0
    late = by_id(told.findings)["far.late"]
    assert (late.severity, late.why, late.fix) == (Severity.WARNING, "the server is gone", "umount")
    assert OK in told.findings


def test_a_bug_in_one_check_hides_no_other(tmp_path: Path) -> None:
    def fails(_: Known) -> Iterator[Finding]:
        yield PROBLEM
        raise KeyError("oops")

    told = examine(
        [Check("buggy", Area.HUB, fails), a_check("good", OK)], a_known(a_place(tmp_path))
    )

    assert bad(told.findings) == ["buggy.failed"]
    assert "KeyError" in (by_id(told.findings)["buggy.failed"].why or "")


def test_a_driver_that_hangs_is_a_problem_and_the_rest_is_looked_at(
    tmp_path: Path, stuck: threading.Event
) -> None:
    known = a_known(a_place(tmp_path, offline=True), within_s=1.0)
    known.machine = Fact(lambda: stuck.wait() and None, monotonic() + 0.1)  # type: ignore[assignment, arg-type]
    known.machine.start()

    told = examine(all_checks(known.place), known)

    assert by_id(told.findings)["driver.late"].severity is Severity.PROBLEM
    assert not any(one.id.endswith(".failed") for one in told.findings), bad(told.findings)
    assert len([one for one in told.findings if one.severity is Severity.OK]) > 10


def test_a_daemon_that_is_silent_is_a_problem(tmp_path: Path, stuck: threading.Event) -> None:
    known = a_known(a_place(tmp_path), within_s=0.2)
    known.daemon = Fact(lambda: stuck.wait() and None, monotonic() + 0.1)  # type: ignore[assignment, arg-type]
    known.daemon.start()

    told = examine([], known)

    assert by_id(told.findings)["daemon.silent"].severity is Severity.PROBLEM


def test_on_an_empty_computer_no_check_fails(tmp_path: Path) -> None:
    place = a_place(tmp_path, offline=True)

    told = examine(all_checks(place), a_known(place))

    assert [one.id for one in told.findings if one.id.endswith((".failed", ".late"))] == []


def test_every_id_is_an_areas_word_and_a_facts(tmp_path: Path) -> None:
    place = a_place(tmp_path, offline=True)

    ids = [one.id for one in examine(all_checks(place), a_known(place)).findings]

    assert all(len(id_.split(".")) == 2 for id_ in ids), ids


def test_the_worst_comes_first() -> None:
    assert sorted_for_people([OK, NOTE, PROBLEM]) == [PROBLEM, NOTE, OK]
    assert worst([OK, NOTE]) is Severity.NOTE
    assert worst([]) is Severity.OK


@pytest.mark.parametrize(
    ("start_took_s", "left_s"), [(0.0, 1.6), (0.4, 1.2), (1.5, 0.6), (99.0, 0.6), (-5.0, 1.6)]
)
def test_what_the_start_takes_is_taken_off_what_the_checks_may(
    start_took_s: float, left_s: float
) -> None:
    assert time_left_s(1000.0, 1000.0 + start_took_s) == pytest.approx(left_s)


def a_view(*findings: Finding) -> CheckupView:
    return report(findings, 0.42)


def test_people_see_what_why_and_the_command() -> None:
    lines = render_checkup(a_view(OK, PROBLEM, NOTE), columns=80, color=False)

    assert lines == [
        "PROBLEMS",
        "  hub: It is broken.",
        "    it does not work",
        "    $ mend it",
        "",
        "NOTES",
        "  files: It is odd.",
        "",
        "1 problem, 1 note, 1 thing in order, in 0.4 s",
    ]


def test_what_is_in_order_is_shown_where_that_is_asked_for() -> None:
    lines = render_checkup(a_view(OK), columns=80, color=False, everything=True)

    assert lines[:2] == ["IN ORDER", "  disk: All is well."]
    assert render_checkup(a_view(OK), columns=80, color=False) == ["1 thing in order, in 0.4 s"]


def test_a_command_is_never_broken_and_foreign_text_is_harmless() -> None:
    long = "export NO_PROXY=" + "a" * 200 + "\x1b[2J"
    evil = Finding("x.y", Area.HUB, Severity.WARNING, "A\x1b[31mB " + "word " * 40, "w\x07", long)

    lines = render_checkup(a_view(evil), columns=60, color=False)

    assert f"    $ {long.replace(chr(27), '?')}" in lines
    assert not any("\x1b" in line or "\x07" in line for line in lines)
    assert all(len(line) <= 60 for line in lines if not line.startswith("    $"))


def test_colours_are_for_terminals() -> None:
    assert "\x1b[" in "\n".join(render_checkup(a_view(PROBLEM), columns=80, color=True))
