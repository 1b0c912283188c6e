"""Engines that crash, hang, cannot start or do not exist."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from tests.faults.asking import SMALL, answered_after, ask, streaming
from tests.faults.fault import Fault, Outcome, kept, lost_since
from tests.faults.killing import kill, kill_unnoticed
from tests.faults.place import Place
from tests.faults.stand_ins import SERVE, with_engine

QUICK = "[supervision]\nmax_crashes = 2\nbackoff_first_s = 0.1\n"
HANG_AFTER_S = 3.0
WORDS = "error loading model: tensor blk.0 not found"
ELF_MACHINE = 18
"""Where a Linux program says which processor it is for."""

ALPHA = 0x9026
"""A processor that nobody tests on."""


def killed_idle(place: Place) -> Outcome:
    here = place.install()
    here.ok("up", *SMALL)
    before, killed = kept(here), here.model()["pid"]

    at = kill(here)
    ready = answered_after(here, at)

    assert here.model()["pid"] != killed
    return Outcome("its next request waits and is answered", lost_since(before, here), ready)


def killed_amid_a_stream(place: Place) -> Outcome:
    here = place.install()
    here.ok("up", *SMALL)
    before, killed = kept(here), here.model()["pid"]
    with streaming(here) as stream:
        at = kill_unnoticed(killed)
        last = stream.rest()[-1]
        told_s = time.monotonic() - at
    ready = answered_after(here, at)

    assert last["error"]["code"] == "engine_gone", last
    assert told_s < 1.0, f"told within a second, not after {told_s:.1f} s"
    saw = f"what had come, and `engine_gone` after {told_s:.2f} s; its next request is answered"
    return Outcome(saw, lost_since(before, here), ready)


def keeps_crashing(place: Place) -> Outcome:
    here = place.install(QUICK)
    broken = here.home / "broken"
    with_engine(here, f"[ -e {broken} ] && {{ echo '{WORDS}' >&2; exit 3; }}; {SERVE}")
    here.ok("up")
    before = kept(here)
    broken.touch()

    kill(here)
    refused = ask(here)

    assert (refused.status, refused.headers["x-should-retry"]) == (503, "false"), refused
    assert "exited with 3" in refused.error, refused
    failed = here.model()
    assert failed["state"] == "failed", failed
    assert WORDS in failed["error"]["log"], failed
    broken.unlink()
    at = time.monotonic()
    here.ok("up")
    saw = "503 `start_failed`, not to be sent again; `status` has the engine's last lines"
    ready = answered_after(here, at)
    return Outcome(f"{saw}; cured by `up`", lost_since(before, here), ready)


def hangs_amid_a_stream(place: Place) -> Outcome:
    here = place.install(f"[supervision]\nhang_after_s = {HANG_AFTER_S}\n")
    here.ok("up", *SMALL)
    before, stopped = kept(here), here.model()["pid"]
    with streaming(here) as stream:
        os.kill(stopped, signal.SIGSTOP)
        at = time.monotonic()
        last = stream.rest()[-1]
        told_s = time.monotonic() - at
    ready = answered_after(here, at)

    assert last["error"]["code"] == "engine_gone", last
    assert HANG_AFTER_S <= told_s < HANG_AFTER_S + 5.0, told_s
    assert here.model()["pid"] != stopped
    saw = f"what had come, and `engine_gone` after {told_s:.1f} s (`hang_after_s` = 3)"
    return Outcome(f"{saw}; its next request is answered", lost_since(before, here), ready)


def is_gone(place: Place) -> Outcome:
    here = place.install(QUICK)
    program = with_engine(here)
    here.ok("up")
    before = kept(here)
    away = program.rename(program.with_name("away"))

    kill(here)
    refused = ask(here)

    assert refused.status == 503, refused
    assert f"no such program, or not executable: {program}" in refused.error, refused
    away.rename(program)
    at = time.monotonic()
    here.ok("up")
    ready = answered_after(here, at)
    saw = "503 `start_failed` with the program's path; cured by `up`"
    return Outcome(saw, lost_since(before, here), ready)


def is_of_another_machine(place: Place) -> Outcome:
    here = place.install()
    program = with_engine(here)
    good = program.read_bytes()
    program.write_bytes(of_another_machine())

    ran = here.run("up")

    assert ran.code == 7, ran
    assert "llama-server cannot be used" in ran.err, ran
    assert here.processes() == [], "nothing is left running"
    program.write_bytes(good)
    at = time.monotonic()
    here.ok("up")
    ready = answered_after(here, at)
    return Outcome("`up` exits with 7 and says why; cured by `up`", ready_after_s=ready)


def of_another_machine() -> bytes:
    """Make a program of this machine one of another."""
    true = shutil.which("true")
    assert true is not None
    program = bytearray(Path(true).read_bytes())
    program[ELF_MACHINE : ELF_MACHINE + 2] = ALPHA.to_bytes(2, "little")
    return bytes(program)


FAULTS = (
    Fault("engine crash, idle", "SIGKILL", killed_idle),
    Fault("engine crash amid a stream", "SIGKILL", killed_amid_a_stream),
    Fault(
        "engine that keeps crashing", "a program that exits with 3 at every start", keeps_crashing
    ),
    Fault("engine hang amid a stream", "SIGSTOP", hangs_amid_a_stream),
    Fault("engine missing", "its program is moved away, then SIGKILL", is_gone),
    Fault(
        "engine of another machine",
        "a program whose header names another processor",
        is_of_another_machine,
        linux_only=True,
    ),
)
