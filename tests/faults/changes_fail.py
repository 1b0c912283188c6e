"""Daemons that are killed or started twice, and switches to a model that cannot take over."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil

from tests.fakes.installation import ROOT, Installation, Ran
from tests.faults.asking import SMALL, answered_after, ask, is_whole, scripted, streaming
from tests.faults.fault import Fault, Outcome, kept, lost_since
from tests.faults.killing import kill_unnoticed
from tests.faults.place import Place
from tests.faults.stand_ins import SERVE, with_engine

ENDS_WITHIN_S = 2.0
BABBLE = f'exec {sys.executable} {ROOT}/tests/faults/babbling_engine.py "$@"'
QUICK = "[supervision]\nmax_crashes = 2\nbackoff_first_s = 0.1\n"


def daemon_killed(place: Place) -> Outcome:
    here = place.install()
    here.ok("up", *SMALL)
    before = kept(here)
    daemon = before.daemon
    children = [p for p in here.processes() if p.pid != daemon]
    with streaming(here) as stream:
        at = kill_unnoticed(daemon)
        assert not is_whole(stream.rest()), "an answer that is cut does not look whole"
    _, alive = psutil.wait_procs(children, timeout=ENDS_WITHIN_S)
    assert alive == [], "no orphan"

    here.ok("up")
    ready = answered_after(here, at)

    saw = "the connection breaks; no process is left after 2 s; `up` serves the same again"
    return Outcome(saw, lost_since(before, here, daemon_too=True), ready)


def two_daemons(place: Place) -> Outcome:
    here = place.install()
    with_engine(here)
    at = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        both = [*pool.map(lambda _: here.run("up"), range(2))]

    assert [ran.code for ran in both] == [0, 0], both
    ready = answered_after(here, at)
    assert len([p for p in here.processes() if "localllm.daemon" in p.cmdline()]) == 1
    assert len(here.json("status")["models"]) == 1
    return Outcome("both succeed; there is one daemon with one model", ready_after_s=ready)


def switch_that_cannot_start(place: Place) -> Outcome:
    broken = 'case "$*" in *4096*) echo no >&2; exit 3 ;; esac; '
    ran, outcome = switched(place.install(QUICK), broken + SERVE)
    assert "exited with 3" in ran.err, ran
    return outcome


def switch_with_doubtful_answers(place: Place) -> Outcome:
    ran, outcome = switched(place.install(QUICK), BABBLE)
    assert "one and the same over and over" in ran.err, ran
    return outcome


def switched(here: Installation, engine: str) -> tuple[Ran, Outcome]:
    """Switch to another context while a stream runs, which comes to nothing."""
    with_engine(here, engine)
    here.ok("up", "--context", "2048")
    before, pid = kept(here), here.model()["pid"]

    with streaming(here, scripted(chunks=20, delay_s=0.1)) as stream:
        ran = here.run("up", "--context", "4096")
        whole = is_whole(stream.rest())

    assert ran.code == 7, ran
    assert whole, "the stream that ran comes to its end"
    assert ask(here).status == 200
    serving = [m for m in here.json("status")["models"] if m["state"] == "ready"]
    assert [(m["context"], m["pid"]) for m in serving] == [(2048, pid)]
    saw = "the old one answers on, streams come to their end; `up` exits with 7 and says why"
    return ran, Outcome(saw, lost_since(before, here))


FAULTS = (
    Fault("daemon killed amid a stream", "SIGKILL", daemon_killed),
    Fault("two daemons started together", "two `localllm up` at once", two_daemons),
    Fault(
        "failed switch: it cannot start",
        "a program that exits with 3 where it is to have 4096 tokens",
        switch_that_cannot_start,
    ),
    Fault(
        "failed switch: it answers nonsense",
        "a program that says one word for ever where it is to have 4096 tokens",
        switch_with_doubtful_answers,
    ),
)
