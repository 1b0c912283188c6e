"""Model files that are broken, cut short, or of a kind that nobody knows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tests.fakes.installation import Ran
from tests.faults.asking import SMALL, answered_after, ask
from tests.faults.fault import Fault, Outcome, kept, lost_since
from tests.faults.killing import kill
from tests.faults.place import Place
from tests.smollm2 import smollm2

HEADER_BYTES = 1 << 16
"""Of it, the part that has the names of what is said about the architecture."""

QUICK = "[supervision]\nmax_crashes = 2\nbackoff_first_s = 0.1\n"
COUNT_OF_TENSORS = 8
"""Where a GGUF has it."""


def unknown_architecture(place: Place) -> Outcome:
    def rename(content: bytearray) -> None:
        content[:HEADER_BYTES] = content[:HEADER_BYTES].replace(b"llama", b"tapir")

    return refused(place, rename, said="does not know the architecture tapir")


def truncated(place: Place) -> Outcome:
    def cut(content: bytearray) -> None:
        del content[len(content) // 2 :]

    return refused(place, cut, said="ends at byte")


def header_flipped(place: Place) -> Outcome:
    def flip(content: bytearray) -> None:
        content[COUNT_OF_TENSORS + 6] ^= 0x40

    return refused(place, flip, said="bytes are needed, and the file has")


def refused(place: Place, spoil: Callable[[bytearray], None], *, said: str) -> Outcome:
    """Ask for a spoilt copy of a model, while another one is served."""
    here = place.install(QUICK)
    here.ok("up", *SMALL)
    before = kept(here)
    content = bytearray(smollm2().read_bytes())
    spoil(content)
    spoilt = here.home / "spoilt.gguf"
    spoilt.write_bytes(content)

    ran = here.run("up", str(spoilt), *SMALL)

    assert ran.code != 0, ran
    assert said in ran.err, ran
    assert "spoilt" in ran.err, ran
    assert ask(here).status == 200
    saw = f"`up` exits with {ran.code}: {why(ran)}; what is served answers on"
    return Outcome(saw, lost_since(before, here))


def why(ran: Ran) -> str:
    """Find the reason in what a command says, without the path of this test's own file."""
    (line,) = (line for line in ran.err.splitlines() if line.startswith("  why: "))
    return line.removeprefix("  why: ").rpartition("spoilt.gguf: ")[2]


def truncated_after_the_plan(place: Place) -> Outcome:
    here = place.install(QUICK)
    file = here.home / "mine.gguf"
    shutil.copyfile(smollm2(), file)
    here.ok("up", str(file), *SMALL)
    before = kept(here)
    name = here.model()["id"]
    replace_with_half(file)

    kill(here)
    failed = ask(here, model=name)

    assert failed.status == 503, failed
    error = here.model()["error"]
    assert "cut short or damaged" in error["reason"], error
    shutil.copyfile(smollm2(), file)
    at = time.monotonic()
    here.ok("up", str(file), *SMALL)
    ready = answered_after(here, at, model=name)
    saw = "503 `start_failed`; `status` says that the file is broken; cured by `up`"
    return Outcome(saw, lost_since(before, here), ready)


def replace_with_half(file: Path) -> None:
    """Put half of it in its place, as a copy that broke off; the engine has the whole one mapped."""
    half = file.with_suffix(".half")
    half.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    half.replace(file)


FAULTS = (
    Fault(
        "wrong architecture",
        "a GGUF that says `tapir` wherever it said `llama`",
        unknown_architecture,
    ),
    Fault("corrupt file: cut short", "half of a GGUF", truncated),
    Fault(
        "corrupt file: header",
        "a GGUF with one bit of its count of tensors flipped",
        header_flipped,
    ),
    Fault(
        "corrupt file: cut short after the plan",
        "half of a GGUF in the place of the one that is served, then SIGKILL",
        truncated_after_the_plan,
    ),
)
