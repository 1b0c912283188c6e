"""A capture holds one client's requests, for a while, within bounds, and for the user's eyes alone."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from localllm.errors import BadRequest
from localllm.metrics.callers import caller_of
from localllm.metrics.capture import Bounds, Captures
from localllm.metrics.showing import render_capture
from tests.unit.metrics.a_live import NOON, World

pytestmark = pytest.mark.anyio
HEADERS = (("User-Agent", "claude-cli/2.1.330"), ("Authorization", "Bearer sk-local-secret"))
BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'


@dataclass(slots=True)
class Scene:
    folder: Path
    bounds: Bounds = field(default_factory=Bounds)
    world: World = field(default_factory=World)
    captures: Captures = field(init=False)

    def __post_init__(self) -> None:
        self.captures = Captures(self.folder, self.world.clock, lambda: NOON, self.bounds)

    def send(self, program: str = "claude-cli/2.1.330", body: bytes = BODY) -> None:
        caller = caller_of(program, "session-1", "laptop")
        self.captures.offer(self.world.begin(caller=caller), HEADERS, body)

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*/*"))


@asynccontextmanager
async def running(captures: Captures) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(captures.run)
        await anyio.wait_all_tasks_blocked()
        yield
        tasks.cancel_scope.cancel()


async def written(scene: Scene, count: int) -> None:
    with anyio.fail_after(10):
        last = scene.captures.last()
        while last is not None and len(list(last.folder.glob("*.json"))) < count:
            await anyio.sleep(0.005)


async def test_a_request_of_the_client_is_written_without_its_key(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "captures")
    async with running(scene.captures):
        scene.captures.start("claude*", 10, redact_text=False)
        scene.send()
        await written(scene, 1)

    (file,) = scene.files()
    document = json.loads(file.read_bytes())
    assert file.name == "0001-chat.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {stat.S_IMODE(f.stat().st_mode) for f in (file.parent, scene.folder)} == {0o700}
    assert document["body"]["messages"][0]["content"] == "hello"
    assert document["client"] == "claude-cli/2.1.330"
    assert b"secret" not in file.read_bytes()


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("claude*", True),
        ("CLAUDE-CLI", True),
        ("claude-cli/2.1.330", True),
        ("session-1", True),
        ("laptop", True),
        ("*", True),
        ("codex*", False),
        ("claude", False),
    ],
)
async def test_a_client_is_named_by_program_conversation_or_key(
    tmp_path: Path, pattern: str, matches: bool
) -> None:
    scene = Scene(tmp_path)
    capturing = scene.captures.start(pattern, 10, redact_text=False)

    scene.send()

    assert capturing.requests == int(matches)


async def test_it_ends_by_itself_when_its_time_is_over(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    capturing = scene.captures.start("*", 10, redact_text=False)
    scene.send()
    scene.world.clock.now += 600

    scene.send()

    assert capturing.requests == 1
    assert render_capture(capturing).over == "its time is over"


async def test_it_ends_by_itself_with_the_last_request_that_it_may_have(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Bounds(requests=2))
    capturing = scene.captures.start("*", 10, redact_text=False)
    for _ in range(4):
        scene.send()

    assert (capturing.requests, capturing.over) == (2, "it has as many requests as it may")


async def test_it_ends_by_itself_before_it_grows_too_large(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Bounds(bytes=100))
    capturing = scene.captures.start("*", 10, redact_text=False)
    for _ in range(2):
        scene.send()

    assert (capturing.requests, capturing.bytes) == (1, len(BODY))
    assert capturing.over == "it has as many bytes as it may"


async def test_what_comes_faster_than_it_can_be_written_is_left_out(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Bounds(waiting=3))
    capturing = scene.captures.start("*", 10, redact_text=False)
    for _ in range(5):
        scene.send()
    left_out = capturing.left_out
    async with running(scene.captures):
        await written(scene, 3)

    assert (capturing.requests, left_out) == (3, 2)


async def test_nothing_is_captured_unasked_or_after_a_stop(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "captures")
    scene.send()
    assert scene.captures.stop() is None
    capturing = scene.captures.start("*", 10, redact_text=False)

    scene.captures.stop()
    scene.send()

    assert (capturing.requests, capturing.over) == (0, "stopped")
    assert not scene.folder.exists()


async def test_there_is_one_at_a_time(tmp_path: Path) -> None:
    captures = Scene(tmp_path).captures
    captures.start("a", 10, redact_text=False)

    with pytest.raises(BadRequest, match="under way"):
        captures.start("b", 10, redact_text=False)

    captures.stop()
    assert captures.start("b", 10, redact_text=False).client == "b"


@pytest.mark.parametrize(
    ("client", "minutes"), [("", 1), ("x" * 101, 1), ("a", 0), ("a", -1), ("a", 121)]
)
async def test_bounds_of_the_question_are_kept(tmp_path: Path, client: str, minutes: float) -> None:
    with pytest.raises(BadRequest):
        Scene(tmp_path).captures.start(client, minutes, redact_text=False)


async def test_of_older_captures_the_newest_stay_and_nothing_else_is_touched(
    tmp_path: Path,
) -> None:
    for day in range(1, 5):
        (tmp_path / f"2026010{day}T000000Z-abcd").mkdir()
    (tmp_path / "mine").mkdir()
    scene = Scene(tmp_path, Bounds(captures=3))
    async with running(scene.captures):
        scene.captures.start("*", 1, redact_text=False)
        scene.send()
        await written(scene, 1)

    kept = sorted(one.name for one in tmp_path.iterdir())
    assert kept[:2] == ["20260103T000000Z-abcd", "20260104T000000Z-abcd"]
    assert kept[2].startswith("20270115T")
    assert kept[3:] == ["mine"]


async def test_a_full_disk_ends_it_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    scene = Scene(tmp_path)
    async with running(scene.captures):
        capturing = scene.captures.start("*", 1, redact_text=False)
        scene.send()
        with anyio.fail_after(10):
            while capturing.over is None:
                await anyio.sleep(0.005)

    assert capturing.over == "it cannot be written: No space left on device"
    assert scene.files() == []
    assert len(caplog.records) == 1
