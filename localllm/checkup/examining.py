"""Runs all checks at once, each in a thread, and waits for none longer than it may take.

A check that does not end in time is a finding too: a driver, a name server or a disk that does not
answer is what people look for when all hangs.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from localllm.checkup.finding import Area, Finding, Severity
from localllm.checkup.known import Known, now
from localllm.checkup.place import Place

ALL_WITHIN_S = 1.6
"""From the start of the process: with its end, all of it stays under 2 s."""

LEAST_S, REST_S = 0.6, 0.2
"""For the checks, where the start has taken long, as on a busy computer; and for those that wait for
what others ask, once that is told."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at."""

    id: str
    area: Area
    look: Callable[[Known], Iterable[Finding]]
    hangs: str = "something that it asks does not answer"
    """What it means if it takes too long."""

    fix: str | None = None
    """What is to be done then."""


@dataclass(frozen=True, slots=True)
class Examined:
    findings: tuple[Finding, ...]
    took_s: float


@dataclass(frozen=True, slots=True)
class _Answer:
    check: Check
    findings: tuple[Finding, ...]


def time_left_s(started: float, now_s: float) -> float:
    """Tell how long the checks may take.

    Args:
        started: When the process was, on the clock of `now_s`, which is that of the wall.
    """
    return min(ALL_WITHIN_S, max(LEAST_S, ALL_WITHIN_S - (now_s - started)))


def known_of(place: Place, within_s: float = ALL_WITHIN_S) -> Known:
    """Begin to find out what several checks need, in as much time as all may take."""
    return Known(place, now() + within_s - REST_S)


def examine(checks: Sequence[Check], facts: Known) -> Examined:
    """Look at everything at once; `facts` are being found out since just now."""
    began = now()
    deadline = facts.deadline + REST_S
    answers = _start(checks, facts)
    told = dict(_until(deadline, answers, len(checks)))
    within_s = deadline - began
    findings = [
        finding
        for check in checks
        for finding in (told[check.id] if check.id in told else [_late(check, within_s)])
    ]
    findings += _late_facts(facts, within_s)
    return Examined(tuple(findings), now() - began)


def _start(checks: Sequence[Check], facts: Known) -> queue.Queue[_Answer]:
    answers: queue.Queue[_Answer] = queue.Queue(len(checks))
    for check in checks:
        threading.Thread(target=_look, args=(check, facts, answers), daemon=True).start()
    return answers


def _look(check: Check, facts: Known, answers: queue.Queue[_Answer]) -> None:
    try:
        found = tuple(check.look(facts))
    except Exception as error:  # noqa: BLE001  # an edge: a bug in one check is not to hide the others
        found = (_failed(check, error),)
    answers.put(_Answer(check, found))


def _until(
    deadline: float, answers: queue.Queue[_Answer], count: int
) -> Iterable[tuple[str, tuple[Finding, ...]]]:
    for _ in range(count):
        try:
            answer = answers.get(timeout=max(0.0, deadline - now()))
        except queue.Empty:
            return
        yield answer.check.id, answer.findings


def _failed(check: Check, error: Exception) -> Finding:
    return Finding(
        f"{check.id}.failed",
        check.area,
        Severity.NOTE,
        f"{check.id} could not be looked at.",
        f"a bug of ours, to be reported: {type(error).__name__}: {error}",
        "localllm doctor --bundle",
    )


def _late(check: Check, within_s: float) -> Finding:
    return Finding(
        f"{check.id}.late",
        check.area,
        Severity.WARNING,
        f"Looking at {check.id} did not end within {within_s:.2f} s.",
        check.hangs,
        check.fix,
    )


def _late_facts(facts: Known, within_s: float) -> Iterable[Finding]:
    if facts.machine.is_late or facts.machine.failure is not None:
        yield Finding(
            "driver.late",
            Area.DRIVER,
            Severity.PROBLEM,
            "The drivers did not tell in time what hardware there is.",
            facts.machine.failure
            or "a driver that hangs makes every program wait that asks it, localllm too",
            "timeout 10 nvidia-smi; localllm probe",
        )
    if facts.daemon.is_late:
        yield Finding(
            "daemon.silent",
            Area.DAEMON,
            Severity.PROBLEM,
            "The daemon does not answer.",
            f"it said nothing for {within_s:.1f} s; a device, a disk or a bug holds it up",
            "localllm down; localllm up",
        )
