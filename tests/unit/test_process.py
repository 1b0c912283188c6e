"""A child never outlives its block, however the block ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import anyio
import pytest

from localllm.engines.base import Endpoint, LaunchSpec
from localllm.supervisor.process import open_log, running, signal_group

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
FAKE = ROOT / "tests" / "fakes" / "fake_backend.py"

STUBBORN = (
    "import signal,time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
)
PARENT = "import subprocess,time; subprocess.Popen(['sleep','60']); print('up', flush=True); time.sleep(60)"

DAEMON = """
import anyio, os, sys
from localllm.engines.base import Endpoint, LaunchSpec
from localllm.supervisor.process import running

async def main(*argv):
    spec = LaunchSpec(argv, Endpoint(), 9.0)
    with os.fdopen(1, "wb") as log:
        async with running(spec, log, grace_s=9.0) as child:
            await child.wait()

anyio.run(main, *sys.argv[1:])
"""


BUSY = "import re; print('up', flush=True); re.match('(a+)+$', 'a' * 60 + 'b')"
"""Never gives the interpreter to another thread, as xllamacpp does not while it loads."""


@dataclass
class Output:
    """What all descendants write to: it ends when the last one is gone."""

    log: BinaryIO
    heard: FileIO

    async def line(self) -> bytes:
        await anyio.wait_readable(self.heard)
        return self.heard.readline()

    async def rest(self) -> bytes:
        self.log.close()
        with anyio.fail_after(2.0):
            return await self.line()


@pytest.fixture
def output() -> Iterator[Output]:
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as log, FileIO(read_end) as heard:
        yield Output(log, heard)


def python(code: str) -> LaunchSpec:
    return LaunchSpec([sys.executable, "-c", code], Endpoint(), start_deadline_s=9.0)


async def test_cancelling_kills_even_a_child_that_ignores_sigterm(output: Output) -> None:
    with anyio.CancelScope() as scope:
        async with running(python(STUBBORN), output.log, grace_s=0.3) as child:
            assert await output.line() == b"up\n"
            scope.cancel()
            await child.wait()

    assert await output.rest() == b""


async def test_an_error_in_the_block_stops_the_child_and_is_not_wrapped(output: Output) -> None:
    with pytest.raises(RuntimeError, match="bug"):
        async with running(python("import time; time.sleep(60)"), output.log, grace_s=9.0):
            raise RuntimeError("bug")

    assert await output.rest() == b""


@pytest.mark.parametrize(("end", "code"), [("raise SystemExit(7)", 7), ("os.abort()", -6)])
async def test_exit_code_is_reported(output: Output, end: str, code: int) -> None:
    async with running(python(f"import os; {end}"), output.log, grace_s=9.0) as child:
        assert await child.wait() == code


async def test_sigterm_reaches_a_foreign_program_and_waits_for_its_answer(output: Output) -> None:
    polite = (
        "import signal,sys,time; signal.signal(15, lambda *_: sys.exit(5));"
        "print('up', flush=True); time.sleep(60)"
    )
    async with running(python(polite), output.log, grace_s=9.0) as child:
        await output.line()
        child.terminate()
        assert await child.wait() == 5


async def test_a_grandchild_dies_with_the_group(output: Output) -> None:
    async with running(python(PARENT), output.log, grace_s=9.0):
        assert await output.line() == b"up\n"

    assert await output.rest() == b""


async def test_a_stray_grandchild_does_not_hang_us(output: Output) -> None:
    stray = PARENT.replace("'60']", "'5'], start_new_session=True")
    with anyio.fail_after(4.0):
        async with running(python(stray), output.log, grace_s=9.0):
            assert await output.line() == b"up\n"


async def test_a_missing_program_is_named(output: Output) -> None:
    with pytest.raises(FileNotFoundError, match="/nonexistent"):
        async with running(LaunchSpec(["/nonexistent"], Endpoint(), 9.0), output.log, grace_s=9.0):
            pass


@pytest.mark.parametrize(("platform", "fails"), [("darwin", False), ("linux", True)])
def test_only_macos_says_eperm_for_a_group_of_zombies(
    monkeypatch: pytest.MonkeyPatch, platform: str, fails: bool
) -> None:
    def killpg(_group: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "killpg", killpg)
    monkeypatch.setattr(sys, "platform", platform)
    if fails:
        with pytest.raises(PermissionError):
            signal_group(1, signal.SIGTERM)
    else:
        signal_group(1, signal.SIGTERM)


@pytest.mark.parametrize(
    "argv",
    [
        [sys.executable, str(FAKE), "0", "--deaf"],
        ["sh", "-c", "trap '' TERM; echo up; sleep 60 & wait; sleep 60"],
        [sys.executable, "-c", BUSY],
    ],
    ids=["deaf", "with a child", "holding the interpreter lock"],
)
async def test_a_killed_daemon_takes_its_children_along_within_2_s(
    output: Output, argv: list[str]
) -> None:
    command = [sys.executable, "-c", DAEMON, *argv]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    async with await anyio.open_process(
        command, stdout=output.log, stderr=None, env=environment
    ) as daemon:
        assert await output.line() == b"up\n"

        daemon.send_signal(signal.SIGKILL)

        assert await output.rest() == b""


def test_a_log_is_appended_to_and_kept_once_as_dot_one_when_over_the_cap(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "qwen.log"
    for run in (b"oldest, long;", b"older", b"newer, and long", b"!", b"newest"):
        with open_log(path, cap_bytes=15) as log:
            log.write(run)

    assert path.read_bytes() == b"newest"
    assert (path.parent / "qwen.log.1").read_bytes() == b"newer, and long!"
