"""A recording is bounded, waits for its moment, ends by itself, and is in nobody's way."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import anyio
import pytest

from localllm.api.traffic_file import read_traffic
from localllm.errors import BadRequest
from localllm.metrics.live import Live
from localllm.metrics.recording import Recordings
from localllm.metrics.recording_state import RecordingBounds
from localllm.metrics.showing import render_recording
from tests.unit.metrics.a_recording import BODY, Scene, running

pytestmark = pytest.mark.anyio


async def test_it_waits_until_nothing_is_under_way_before_it_asks_an_engine(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    async with running(scene):
        recording = await scene.on()
        other = scene.world.begin()
        scene.send()
        await anyio.sleep(0.02)  # nothing to wait for: it is to do nothing
        meanwhile = recording.requests
        other.ended(200)
        with anyio.fail_after(10):
            while not recording.requests:
                await anyio.sleep(0.005)

    assert meanwhile == 0


async def test_who_ends_it_gets_all_that_is_over_though_others_are_under_way(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    async with running(scene):
        recording = await scene.on()
        scene.world.begin()
        scene.send()
        with anyio.fail_after(4):
            await scene.recordings.stop()

    assert recording.requests == 1


async def test_it_does_not_wait_for_ever(tmp_path: Path) -> None:
    scene = Scene(tmp_path, RecordingBounds(waiting=2))
    async with running(scene):
        recording = await scene.on()
        scene.world.begin()
        for _ in range(4):
            scene.send()
        with anyio.fail_after(10):
            while recording.requests < 2:
                await anyio.sleep(0.005)


async def test_it_ends_by_itself_when_its_time_is_over(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with running(scene):
        recording = await scene.on(minutes=10)
        scene.send()
        scene.world.clock.now += 600
        scene.send()
        await scene.recordings.stop()

    assert (recording.requests, recording.over) == (1, "its time is over")
    assert render_recording(recording, scene.world.clock.now).left == 0


async def test_it_ends_by_itself_with_the_last_request_that_it_may_have(tmp_path: Path) -> None:
    scene = Scene(tmp_path, RecordingBounds(requests=2))
    async with running(scene):
        recording = await scene.on()
        for _ in range(4):
            scene.send()
        await scene.recordings.stop()

    assert (recording.requests, recording.over) == (2, "it has as many requests as it may")


async def test_it_ends_by_itself_before_it_grows_too_large(tmp_path: Path) -> None:
    scene = Scene(tmp_path, RecordingBounds(bytes=500))
    async with running(scene):
        recording = await scene.on()
        for _ in range(3):
            scene.send()
            with anyio.fail_after(10):
                while recording.under_way:
                    await anyio.sleep(0.005)

    assert (recording.requests, recording.over) == (1, "it has as many bytes as it may")
    assert len(read_traffic(recording.file).shapes) == 1


async def test_a_full_disk_ends_it_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, line: bytes) -> None:
        os.write(descriptor, line[:9])
        os.close(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    scene = Scene(tmp_path, RecordingBounds(waiting=0))
    async with running(scene):
        recording = await scene.on()
        scene.send()
        with anyio.fail_after(10):
            while recording.requests < 1:
                await anyio.sleep(0.005)
        under_way = scene.begin()
        with monkeypatch.context() as disk:
            disk.setattr("localllm.metrics.recording_file._write", full)
            scene.send()
            scene.begin().ended(404, "model_not_found")
            with anyio.fail_after(10):
                while recording.left_out < 2:
                    await anyio.sleep(0.005)
        scene.answer(under_way)
        await scene.recordings.stop()

    assert (recording.over, recording.left_out) == (
        "it cannot be written: No space left on device",
        2,
    )
    traffic = read_traffic(recording.file)
    assert (len(traffic.shapes), traffic.is_torn) == (2, False), "no half line is left in it"


async def test_a_file_that_was_removed_is_not_made_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with running(scene):
        recording = await scene.on()
        recording.file.unlink()
        scene.send()
        await scene.recordings.stop()

    assert not recording.file.exists()
    assert recording.requests == 0


async def test_there_is_one_at_a_time_also_for_two_who_ask_at_once(tmp_path: Path) -> None:
    scene, refused = Scene(tmp_path), list[str]()

    async def start() -> None:
        try:
            await scene.on()
        except BadRequest as error:
            refused.append(error.what)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        tasks.start_soon(start)

    assert refused == ["A recording is under way."]
    assert len(list(tmp_path.iterdir())) == 1


async def test_what_waits_when_the_daemon_ends_is_still_written(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with running(scene):
        recording = await scene.on()
        scene.world.begin()
        scene.send()
        await anyio.wait_all_tasks_blocked()

    assert len(read_traffic(recording.file).shapes) == 1


async def test_a_request_whose_prompt_is_being_cut_when_the_daemon_ends_is_still_written(
    tmp_path: Path,
) -> None:
    scene, asked = Scene(tmp_path), anyio.Event()

    async def cut(_live: Live, _path: str, _body: bytes) -> None:
        asked.set()
        await anyio.sleep_forever()

    scene.recordings = Recordings(
        tmp_path, scene.world.requests, cut, lambda: b"a key of this test", RecordingBounds()
    )
    scene.world.requests.when_one_ends[:] = [scene.recordings.finished]
    async with running(scene):
        recording = await scene.on()
        scene.send()
        with anyio.fail_after(5):
            await asked.wait()

    assert len(read_traffic(recording.file).shapes) == 1
    assert recording.under_way == 0


async def test_what_is_known_of_blocks_is_forgotten_once_all_is_written(tmp_path: Path) -> None:
    scene = Scene(tmp_path, tokens={BODY: range(50)})
    async with running(scene):
        recording = await scene.on()
        scene.send()
        late = scene.begin()
        await scene.recordings.stop()
        meanwhile = recording.blocks
        scene.answer(late)
        await scene.recordings.stop()

    assert meanwhile is not None
    assert recording.blocks is None
    assert recording.unmarked == 0


async def test_it_ends_in_time_though_nobody_asks_anything(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with running(scene):
        recording = await scene.on(minutes=0.0005)
        scene.world.clock.now += 1
        with anyio.fail_after(5):
            while recording.is_on:
                await anyio.sleep(0.005)

    assert recording.blocks is None


async def test_a_clock_that_is_set_does_not_change_how_long_it_goes_on(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    recording = await scene.on(minutes=10)
    recording.ends_at -= 86_400  # as a clock that was a day behind has it
    scene.world.clock.now += 60

    assert render_recording(recording, scene.recordings.clock()).left == 540
