"""An engine that cannot do its work ends as `failed`, with its reason; the daemon lives on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.installation import ROOT, Installation, wait_until

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(120)]
FAKES = ROOT / "tests" / "fakes"
QUICK = """
[supervision]
max_crashes = 2
backoff_first_s = 0.1
start_silence_s = 0.5
"""
PROGRAM = """\
#!/bin/sh
case "$1" in
--help) echo '--kv-unified --cache-ram --flash-attn --alias {socket}' ;;
--version) echo 'version: 1 (fake)' ;;
--list-devices) printf 'Available devices:\\n{devices}' ;;
*) {then} ;;
esac
"""
ON_HOST = "echo 'load_tensors: CPU model buffer size = 1.00 MiB'"
FRAGILE = (
    f"{ON_HOST}; while [ $1 != --port ]; do shift; done;"
    f" exec {sys.executable} {FAKES}/fake_backend.py $2 --fragile"
)
GOOD = f'exec {sys.executable} {FAKES}/fake_engine.py "$@"'
VULKAN = "  Vulkan0: Some Card (8192 MiB, 8000 MiB free)\\n"


def with_engine(
    here: Installation, then: str, *, devices: str = "", socket: str = "", settings: str = QUICK
) -> Path:
    """Put a program in place of llama-server that answers what it is, and then does `then`."""
    program = here.home / "bin" / "llama-server"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(then=then, devices=devices, socket=socket))
    program.chmod(0o755)
    here.configure(f'llama_server = "{program}"\nengine = "llama-server"\n{settings}')
    return program


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("echo 'no such tensor' >&2; exit 3", "exited with 3"),
        ("kill -ILL $$", "this build needs instructions that this processor lacks"),
        ("kill -KILL $$", "by the kernel when memory ran out"),
        ("kill -ABRT $$", "a failed allocation"),
        ("exec sleep 600", "too long in starting"),
        (FRAGILE, "exited with 3"),
    ],
    ids=["exits", "illegal instruction", "out of memory", "aborts", "hangs", "dies in warm-up"],
)
def test_up_says_why_and_exits_7_and_the_daemon_lives_on(
    install: Callable[..., Installation], then: str, said: str
) -> None:
    here = install()
    with_engine(here, then)

    ran = here.run("up")

    assert ran.code == 7, ran
    assert "could not be started" in ran.err
    assert said in ran.err
    model = here.model()
    assert model["state"] == "failed"
    assert said in model["error"]["reason"]
    assert model["pid"] is None
    listed = here.ok("status")
    assert said in listed


def test_a_failed_engines_last_words_are_shown(install: Callable[..., Installation]) -> None:
    here = install()
    with_engine(here, "echo 'error loading model: tensor blk.0 not found' >&2; exit 1")

    ran = here.run("up")

    assert "error loading model: tensor blk.0 not found" in ran.err
    assert any("blk.0 not found" in line for line in here.model()["error"]["log"])


def test_an_engine_that_is_gone_when_it_should_start_again_is_named(
    install: Callable[..., Installation],
) -> None:
    here = install()
    program = with_engine(here, GOOD, socket="UNIX socket")
    engine_says = here.run("up")
    assert engine_says.code == 0, engine_says
    program.unlink()

    os.kill(here.model()["pid"], signal.SIGKILL)

    wait_until(lambda: here.model()["state"] == "failed", "it gives up")
    assert f"no such program, or not executable: {program}" in here.model()["error"]["reason"]


def test_a_model_that_failed_can_be_asked_for_again(install: Callable[..., Installation]) -> None:
    here = install()
    cure = here.home / "cured"
    with_engine(here, f"[ -e {cure} ] || exit 3; {GOOD}", socket="UNIX socket")
    assert here.run("up").code == 7
    cure.touch()

    ran = here.run("up")

    assert ran.code == 0, ran
    assert here.model()["state"] == "ready"


def test_a_model_on_the_processor_that_was_to_be_on_the_card_does_not_become_ready(
    install: Callable[..., Installation],
) -> None:
    here = install()
    with_engine(here, GOOD, devices=VULKAN, socket="UNIX socket")

    ran = here.run("up")

    assert ran.code == 7, ran
    assert "31 of 31 layers were to be on Vulkan0, the engine put 0 there" in ran.err


@pytest.mark.parametrize(
    ("content", "said"),
    [("#!/no/such/interpreter\n", "cannot be run"), ("#!/bin/sh\nkill -ILL $$\n", "illegal")],
)
def test_a_program_that_does_not_even_answer_is_no_engine(
    install: Callable[..., Installation], content: str, said: str
) -> None:
    here = install()
    program = with_engine(here, "")
    program.write_text(content)

    ran = here.run("up")

    assert ran.code == 7, ran
    assert "llama-server cannot be used" in ran.err
    assert said in ran.err
    assert here.processes() == []
