"""Devices that vanish or get hot, sleep, clocks that jump, disks that are full, ports that are taken."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import psutil

from localllm.supervisor.machine_watch import MachineWatch
from tests.fakes.house import CALM, a_house, a_plan, asking
from tests.fakes.installation import ROOT, Installation, wait_until
from tests.faults.asking import MODEL, SMALL, answered_after, ask, is_whole, scripted, streaming
from tests.faults.fault import Fault, Outcome, kept, lost_since
from tests.faults.killing import kill
from tests.faults.place import Place
from tests.faults.stand_ins import RUNTIME, SERVE, on_a_card, with_engine

OFTEN = "[supervision]\nwatch_every_s = 0.1\nbackoff_first_s = 0.1\nmax_crashes = 2\n"
HOUR_S = 3600.0
LATER = """\
import os, time
_real = time.time
time.time = lambda: _real() + {seconds} * os.path.exists("{file}")
"""
"""A sitecustomize.py: every Python of an installation starts with it."""

CAP_BYTES, FLOOD_BYTES = 16 << 20, 17 << 20
FLOOD = (
    "(while [ ! -e {go} ]; do sleep 0.05; done; head -c {size} /dev/zero | tr '\\0' .) & {serve}"
)
DISK = "4m"


def device_lost(place: Place) -> Outcome:
    lost = place.folder() / "lost"
    here = on_a_card(place, OFTEN, LOCALLLM_TEST_NVML_LOST=str(lost))
    here.ok("up")
    before, engine = kept(here), psutil.Process(here.model()["pid"])

    lost.touch()
    psutil.wait_procs([engine], timeout=10)
    assert not engine.is_running(), "no engine is left on a card that does not answer"
    refused = ask(here)

    assert refused.status == 503, refused
    assert "is lost: " in refused.error, refused
    (warning,) = here.json("status")["warnings"]
    assert warning.startswith("cuda:0 is lost: "), warning
    lost.unlink()
    at = time.monotonic()
    wait_until(lambda: here.model()["state"] != "failed", "it is started again unasked")
    ready = answered_after(here, at)
    assert here.json("status")["warnings"] == []
    saw = "503 while the card is away; `status` says that it is lost; it serves again unasked"
    return Outcome(saw, lost_since(before, here), ready)


def falls_back(place: Place) -> Outcome:
    here = on_a_card(place, OFTEN)
    here.ok("up")
    before = kept(here)
    library = Path(here.environment["LD_LIBRARY_PATH"]) / RUNTIME
    away = library.rename(library.with_name("away"))

    kill(here)
    refused = ask(here)

    assert refused.status == 503, refused
    assert "31 of 31 layers were to be on CUDA0, the engine put 0 there" in refused.error, refused
    away.rename(library)
    at = time.monotonic()
    here.ok("up")
    ready = answered_after(here, at)
    saw = "503 `start_failed`: no answer at the processor's pace; cured by `up`"
    return Outcome(saw, lost_since(before, here), ready)


def throttled(place: Place) -> Outcome:
    hot = place.folder() / "hot"
    here = on_a_card(place, OFTEN, LOCALLLM_TEST_NVML_HOT=str(hot))
    here.ok("up")
    before = kept(here)

    hot.touch()
    (warning,) = wait_until(lambda: here.json("status")["warnings"], "status says so")

    assert warning.startswith("cuda:0: "), warning
    assert ask(here).status == 200
    hot.unlink()
    wait_until(lambda: not here.json("status")["warnings"], "it is over")
    log = (here.state / "logs" / "daemon.log").read_text()
    assert "throttled" in log, log
    assert "cuda:0 is at full speed again" in log, log
    saw = "answers as ever; an event and a warning in `status` for as long as it lasts"
    return Outcome(saw, lost_since(before, here))


def sleep_and_wake(place: Place) -> Outcome:
    return anyio.run(_sleep_and_wake, place.folder())


async def _sleep_and_wake(folder: Path) -> Outcome:
    slept = [0.0]
    async with a_house(folder) as house:
        deaf, awake = [await house.ready(a_plan(n, f"{n}-alias")) for n in ("deaf", "awake")]
        runs = [h.runner.record.run for h in (deaf, awake)]
        watch = MachineWatch(
            house.fleet,
            lambda *_: CALM,
            lambda: slept[0],
            every_s=HOUR_S,
            answers_within_s=1.0,
        )
        await watch.turn()
        pid = deaf.runner.record.pid
        assert pid is not None

        os.kill(pid, signal.SIGSTOP)
        slept[0] += HOUR_S
        at = time.monotonic()
        await watch.turn()

        status, _, body = await house.ask(asking(model="deaf"))
        assert status == 200, body
        ready = time.monotonic() - at
        assert [h.runner.record.run for h in (deaf, awake)] == [runs[0] + 1, runs[1]]
        saw = "an engine that does not answer after the sleep is restarted, another is left alone"
        return Outcome(saw, ready_after_s=ready)


def clock_jumps(place: Place) -> Outcome:
    folder = place.folder()
    jump = folder / "jump"
    (folder / "sitecustomize.py").write_text(LATER.format(seconds=HOUR_S, file=jump))
    here = place.install(PYTHONPATH=f"{folder}:{ROOT}")
    with_engine(here)
    here.ok("up")
    before, pid = kept(here), here.model()["pid"]
    with streaming(here, scripted(chunks=20, delay_s=0.1)) as stream:
        jump.touch()
        here.ok("pin", MODEL)
        forward = stream.rest()
    assert ask(here).status == 200
    jump.unlink()
    back = ask(here)
    here.ok("unpin", MODEL)

    published = [json.loads(line)["at"] for line in here.ok("events", "--json").splitlines()]
    assert published[-2] - published[-1] > HOUR_S / 2, "the daemon's clock has jumped"
    assert is_whole(forward), forward[-1]
    assert back.status == 200
    assert here.model()["pid"] == pid, "nothing is restarted"
    assert here.json("status")["daemon"]["uptime"] < HOUR_S
    saw = "a stream that runs comes to its end; nothing restarts, nothing times out"
    return Outcome(saw, lost_since(before, here))


def disk_full(place: Place) -> Outcome:
    here = place.install()
    here.state.mkdir()
    disk = a_small_disk(place, here.state)
    here.ok("up", *SMALL)
    before, remembered = kept(here), (here.state / "serving.json").read_bytes()
    disk.fill(here)

    assert ask(here).status == 200
    here.ok("pin", MODEL)
    assert (here.state / "serving.json").read_bytes() == remembered, "the old one is whole"
    at = kill(here)
    ready = answered_after(here, at)

    disk.clear(here)
    here.ok("unpin", MODEL)
    saw = "answers as ever, also after a SIGKILL; what was to be written is in the daemon's memory"
    return Outcome(saw, lost_since(before, here), ready)


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A tmpfs, or None where this user may mount none: then nothing may be written at all."""

    folder: Path | None

    def fill(self, here: Installation) -> None:
        if self.folder is None:
            limit_writing(here, 0)
            return
        with (self.folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(4096))

    def clear(self, here: Installation) -> None:
        if self.folder is None:
            limit_writing(here, psutil.RLIM_INFINITY)
        else:
            (self.folder / "filler").unlink()


def a_small_disk(place: Place, folder: Path) -> SmallDisk:
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", folder]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        return SmallDisk(None)
    place.stack.callback(subprocess.run, ["umount", "--lazy", folder], check=True)
    return SmallDisk(folder)


def limit_writing(here: Installation, most_bytes: int) -> None:
    for process in here.processes():
        process.rlimit(psutil.RLIMIT_FSIZE, (most_bytes, psutil.RLIM_INFINITY))


def log_at_its_cap(place: Place) -> Outcome:
    here = place.install(OFTEN)
    go = here.home / "go"
    with_engine(here, FLOOD.format(go=go, size=FLOOD_BYTES, serve=SERVE))
    here.ok("up")
    before = kept(here)
    (log,) = (here.state / "logs").glob("smollm2*.log")

    go.touch()
    old = log.with_name(f"{log.name}.1")
    wait_until(lambda: old.exists() and log.stat().st_size < CAP_BYTES, "it is cut")

    assert 0 < old.stat().st_size <= CAP_BYTES
    assert ask(here).status == 200
    saw = "answers as ever; the log is cut, its end is kept beside it"
    return Outcome(saw, lost_since(before, here))


def port_taken(place: Place) -> Outcome:
    here = place.install()
    with_engine(here)
    with socket.socket() as other:
        other.bind(("127.0.0.1", here.port))
        other.listen()
        ran = here.run("up")

    assert ran.code == 1, ran
    assert f"Port {here.port}" in ran.err, ran
    assert "--port" in ran.err, ran
    assert here.processes() == [], "nothing is left running"
    at = time.monotonic()
    here.ok("up")
    ready = answered_after(here, at)
    return Outcome("`up` exits with 1 and names the port; cured by `up`", ready_after_s=ready)


FAULTS = (
    Fault("GPU lost and back", "the stand-in NVML loses its card for a while", device_lost),
    Fault(
        "GPU that the engine cannot use any more",
        "the CUDA stand-in's runtime library is moved away, then SIGKILL",
        falls_back,
    ),
    Fault("thermal throttling", "the stand-in NVML's card is hot for a while", throttled),
    Fault(
        "sleep and wake",
        "how long the computer slept is an argument; SIGSTOP for one of two engines",
        sleep_and_wake,
    ),
    Fault("clock jump", "an hour forth and back, in every Python by sitecustomize", clock_jumps),
    Fault("disk full", "a tmpfs of 4 MB, filled, then SIGKILL", disk_full, linux_only=True),
    Fault("log at its cap", "an engine that writes 17 MiB", log_at_its_cap),
    Fault("port taken", "another process listens there", port_taken),
)
