"""A recording keeps shapes of requests and no word of them, within bounds, and ends by itself."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from localllm.api.traffic_file import read_traffic
from tests.unit.metrics.a_recording import BODY, Scene, running

pytestmark = pytest.mark.anyio


async def test_a_request_is_kept_as_lengths_times_and_numbers(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "traffic", tokens={BODY: range(50)})
    async with running(scene):
        recording = await scene.on()
        scene.world.clock.now += 2.5
        scene.send(cached=20)
        await scene.recordings.stop()

    header, shape = scene.lines()
    assert (header["format"], header["model"], header["context"]) == (1, "m", 4096)
    assert stat.S_IMODE(recording.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(scene.folder.stat().st_mode) == 0o700
    assert shape == {
        "id": 1,
        "timestamp": 2500.0,
        "input_length": 50,
        "output_length": 3,
        "hash_ids": [0, 1],
        "model": "m",
        "tools": 2,
        "cached_tokens": 20,
        "conversation": 1,
        "client": "claude-cli/2.1.330",
        "status": 200,
        "wait_ms": 1000.0,
        "first_token_ms": 2100.0,
        "total_ms": 2300.0,
        "gap_ms": 100.0,
        "longest_gap_ms": 100.0,
    }


async def test_no_word_of_prompts_conversations_and_keys_is_in_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, tokens={BODY: range(50)})
    async with running(scene):
        recording = await scene.on()
        scene.send()
        await scene.recordings.stop()

    text = recording.file.read_text()
    assert not [w for w in ("xylophone", "session-1", "laptop", "sk-", "req_") if w in text]


async def test_prompts_are_kept_where_they_are_asked_for_but_no_keys(tmp_path: Path) -> None:
    scene = Scene(tmp_path, tokens={BODY: range(50)})
    async with running(scene):
        await scene.on(prompts=True)
        scene.send()
        await scene.recordings.stop()

    header, shape = scene.lines()
    assert header["prompts"]
    assert shape["body"]["messages"][0]["content"] == "the xylophone, with <redacted>"


async def test_a_prompt_that_goes_on_has_the_first_blocks_in_common(tmp_path: Path) -> None:
    scene = Scene(tmp_path, tokens={b"1": range(70), b"2": range(110), b"3": [*range(64), 7, 7]})
    async with running(scene):
        await scene.on()
        for body, prompt in ((b"1", 70), (b"2", 110), (b"3", 66)):
            scene.send(body, prompt=prompt)
        await scene.recordings.stop()

    _, first, second, third = scene.lines()
    assert first["hash_ids"] == [0, 1, 2]
    assert (second["hash_ids"], second["goes_on_from"]) == ([0, 1, 3, 4], 1)
    assert third["hash_ids"] == [0, 1, 5]
    assert "goes_on_from" not in third


@pytest.mark.parametrize(("told", "ids"), [(50, 2), (51, 2), (48, 2), (80, None), (None, 2)])
async def test_blocks_are_those_of_the_prompt_that_the_engine_counted(
    tmp_path: Path, told: int | None, ids: int | None
) -> None:
    scene = Scene(tmp_path, tokens={BODY: range(50)})
    async with running(scene):
        recording = await scene.on()
        scene.send(prompt=told)
        await scene.recordings.stop()

    (shape,) = read_traffic(recording.file).shapes
    assert shape.input_length == (50 if told is None else told)
    assert (None if shape.hash_ids is None else len(shape.hash_ids)) == ids
    assert recording.unmarked == (ids is None)


async def test_a_refused_request_and_one_whose_client_left_are_in_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with running(scene):
        recording = await scene.on()
        scene.begin().ended(404, "model_not_found")
        scene.begin().ended(499, cancelled=True)
        await scene.recordings.stop()

    refused, left = read_traffic(recording.file).shapes
    assert (refused.ended, refused.status, refused.error) == ("failed", 404, "model_not_found")
    assert (refused.input_length, left.ended) == (None, "cancelled")


async def test_a_request_that_began_in_time_is_written_when_it_ends(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with running(scene):
        recording = await scene.on()
        live = scene.begin()
        await scene.recordings.stop()
        under_way = recording.under_way
        scene.answer(live)
        late = scene.begin()
        late.ended(200)
        await scene.recordings.stop()

    assert (under_way, recording.requests, recording.under_way) == (1, 1, 0)


@pytest.mark.parametrize(("pattern", "kept"), [("claude*", 1), ("codex*", 0), (None, 1)])
async def test_it_may_be_of_one_client_alone(
    tmp_path: Path, pattern: str | None, kept: int
) -> None:
    scene = Scene(tmp_path)
    async with running(scene):
        recording = await scene.on(client=pattern)
        scene.send()
        await scene.recordings.stop()

    assert recording.requests == kept


async def test_nothing_is_recorded_unasked(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "traffic")
    scene.send()

    assert scene.recordings.last() is None
    assert not scene.folder.exists()
