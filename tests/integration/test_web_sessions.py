"""What a page and its screen say to each other, with a small program for the screen."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import anyio
import psutil
import pytest
from anyio.abc import Process

from localllm.errors import EngineUnusable
from localllm.web import child
from localllm.web.sessions import MOST_SCREENS
from tests.fakes.a_web_screen import (
    DEADLINE_S,
    Browser,
    a_door,
    read_to_the_end,
    read_until,
    screens_of,
    until,
)

pytestmark = pytest.mark.anyio


def screens() -> list[psutil.Process]:
    return [one for one in screens_of(psutil.Process().pid) if "fake_screen" in str(one.cmdline())]


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("width=132&height=40", "132x40"),
        ("", "80x24"),
        ("width=NaN&height=40", "80x24"),
        ("width=-1&height=0", "20x5"),
        ("width=99999999&height=99999999", "1000x400"),
    ],
)
async def test_a_screen_begins_in_the_page_s_size_within_reason(
    tmp_path: Path, query: str, size: str
) -> None:
    async with a_door(tmp_path) as browser, browser.socket(query) as socket:
        await read_until(socket, f"begun {size}")


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        (["stdin", "s\x1b[<0;1;2M\u00e9"], "D s\x1b[<0;1;2M\u00e9"),
        (["resize", {"width": 90, "height": 20}], 'M {"type":"resize","width":90,"height":20}'),
        (["resize", {"width": 9**9, "height": 0}], 'M {"type":"resize","width":1000,"height":5}'),
        (["focus"], 'M {"type":"focus"}'),
        (["blur"], 'M {"type":"blur"}'),
    ],
)
async def test_what_the_page_says_reaches_the_screen_in_its_words(
    tmp_path: Path, sent: list[object], heard: str
) -> None:
    async with a_door(tmp_path) as browser, browser.socket() as socket:
        await socket.send_json(sent)

        await read_until(socket, heard)


async def test_a_page_may_ask_whether_it_is_heard(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser, browser.socket() as socket:
        await read_until(socket, "begun")
        await socket.send_json(["ping", "1700000000000"])

        assert (await socket.receive(DEADLINE_S)).data == json.dumps(["pong", "1700000000000"])


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "no json",
        "{}",
        "[]",
        '["exec","ls"]',
        '["stdin"]',
        '["stdin",1]',
        '["resize",{}]',
        '["resize",{"width":null,"height":1}]',
        "[" * 100_000,
    ],
    ids=lambda text: text[:20] or "empty",
)
async def test_a_page_that_talks_nonsense_is_told_and_its_screen_ends(
    tmp_path: Path, nonsense: str
) -> None:
    async with a_door(tmp_path) as browser, browser.socket() as socket:
        await read_until(socket, "begun")
        await socket.send_str(nonsense)

        _, shown = await read_to_the_end(socket)

        assert "do not understand each other" in shown
        await until(lambda: not screens(), "the screen to end")


async def test_bytes_and_messages_that_are_too_long_end_it(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser:
        async with browser.socket() as socket:
            await socket.send_bytes(b"x")
            await read_to_the_end(socket)
        async with browser.socket() as socket:
            await socket.send_json(["stdin", "x" * (256 << 10)])
            code, _ = await read_to_the_end(socket)

            assert code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        await until(lambda: not screens(), "the screen to end")


async def test_the_fifth_is_told_so_and_gets_in_once_another_has_gone(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser, anyio.create_task_group() as tasks:
        leave = [anyio.Event() for _ in range(MOST_SCREENS)]
        for one in leave:
            await tasks.start(_stay, browser, one)

        async with browser.socket() as fifth:
            code, shown = await read_to_the_end(fifth)

        assert "4 screens of localllm are open in browsers already" in shown
        assert code == aiohttp.WSCloseCode.TRY_AGAIN_LATER
        assert len(screens()) == MOST_SCREENS
        leave[0].set()
        shown = ""
        while "begun" not in shown:  # a moment passes
            async with browser.socket() as another:
                message = await another.receive(DEADLINE_S)
                shown = message.data.decode()
        for one in leave:
            one.set()


async def _stay(browser: Browser, leave: anyio.Event, *, task_status: anyio.abc.TaskStatus) -> None:
    async with browser.socket() as socket:
        await read_until(socket, "begun")
        task_status.started()
        await leave.wait()


async def test_a_screen_that_is_left_by_a_key_closes_the_page_in_order(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser, browser.socket() as socket:
        await socket.send_json(["stdin", "end 0"])

        code, shown = await read_to_the_end(socket)

        assert code == aiohttp.WSCloseCode.OK
        assert "should not have" not in shown


async def test_a_screen_that_breaks_down_says_where_the_reason_is(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser, browser.socket() as socket:
        await socket.send_json(["stdin", "end 3"])

        _, shown = await read_to_the_end(socket)

        assert "The screen has ended, and should not have" in shown


async def test_a_screen_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    async with a_door(tmp_path) as browser, browser.socket() as socket:
        _, shown = await read_to_the_end(socket)

        assert "The screen could not be started: Is a directory" in shown


async def test_a_screen_that_does_not_leave_is_killed(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser:
        async with browser.socket() as socket:
            await socket.send_json(["stdin", "stay"])
            await read_until(socket, "D stay")
            assert len(screens()) == 1

        await until(lambda: not screens(), "it to be killed")


async def test_a_screen_that_stays_is_killed_though_its_page_goes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving = anyio.Event()
    leave = child._leave

    async def tell_and_leave(process: Process) -> None:
        leaving.set()
        await leave(process)

    monkeypatch.setattr(child, "_leave", tell_and_leave)
    async with a_door(tmp_path) as browser:
        async with browser.socket() as socket:
            await socket.send_json(["stdin", "stay"])
            await read_until(socket, "D stay")
            await socket.send_str("nonsense")
            with anyio.fail_after(DEADLINE_S):
                await leaving.wait()
            socket._response.close()  # without a word, as when a browser is killed

        await until(lambda: not screens(), "it to be killed")


async def test_what_a_screen_left_behind_ends_with_it(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser:
        async with browser.socket() as socket:
            await socket.send_json(["stdin", "fork"])
            await read_until(socket, "forked")
            assert len(screens()) == 2

        await until(lambda: not screens(), "both to end")


async def test_the_server_s_end_is_every_screen_s_end(tmp_path: Path) -> None:
    async with a_door(tmp_path) as browser:
        socket = await browser.session.ws_connect(
            f"{browser.origin}{browser.folder}/ws",
            headers=browser.headers(Origin=browser.origin),
        )
        await read_until(socket, "begun")
    assert screens() == []


async def test_a_daemon_is_started_by_the_server_which_has_the_environment_for_it(
    tmp_path: Path,
) -> None:
    started: list[str] = []
    async with a_door(tmp_path, lambda: started.append("here")) as browser:
        async with browser.socket() as socket:
            await socket.send_json(["stdin", "start"])
            await read_until(socket, "started")

    assert started == ["here"]


async def test_why_a_daemon_does_not_start_comes_back_whole(tmp_path: Path) -> None:
    def fail() -> None:
        raise EngineUnusable("No engine.", why="none is here", fix="localllm engine install")

    async with a_door(tmp_path, fail) as browser, browser.socket() as socket:
        await socket.send_json(["stdin", "start"])

        shown = await read_until(socket, "engine install")

        assert "not started: EngineUnusable No engine.\n  why: none is here" in shown
