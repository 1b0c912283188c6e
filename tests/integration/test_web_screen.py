"""`localllm tui --web` as a command: what its screens see, and how all of it ends."""

from __future__ import annotations

import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.fakes import scenes
from tests.fakes.a_web_screen import (
    a_browser,
    a_web_screen,
    is_alive,
    read_to_the_end,
    read_until,
    screens_of,
    until,
)
from tests.fakes.installation import Installation, free_port
from tests.fakes.scripted_daemon import ScriptedDaemon

pytestmark = pytest.mark.anyio
SECRETS = {
    "HF_TOKEN": "hf_secret",
    "OPENAI_API_KEY": "sk-secret",
    "LOCALLLM_API_KEY": "key-secret",
    "AWS_SECRET_ACCESS_KEY": "aws-secret",
    "HTTPS_PROXY": "http://user:a-secret@127.0.0.1:9",
    "A_NAME_THAT_NOBODY_KNOWS": "no-secret",
    "LC_PASSWORD": "lc-secret",
    "XDG_SESSION_COOKIE": "xdg-secret",
}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    one = Installation(tmp_path, **SECRETS)
    one.state.mkdir(parents=True)
    yield one
    one.close()


@pytest.fixture
def daemon(installation: Installation) -> Iterator[ScriptedDaemon]:
    with ScriptedDaemon(scenes.rtx5090(), installation.state) as running:
        yield running


async def test_a_page_shows_the_daemon_until_its_user_leaves_and_the_next_may_come(
    installation: Installation, daemon: ScriptedDaemon
) -> None:
    with a_web_screen(installation) as (process, address):
        async with a_browser(address) as browser:
            async with browser.socket() as page:
                await read_until(page, "qwen3-32b")
                await page.send_json(["stdin", "2"])
                await read_until(page, "verdict")
                await page.send_json(["stdin", "q"])

                assert (await read_to_the_end(page))[0] == 1000

            async with browser.socket() as page:
                await read_until(page, "qwen3-32b")
            assert process.poll() is None
            assert daemon.scene.asked == []


async def test_a_screen_is_no_shell_and_sees_no_secret(
    installation: Installation, daemon: ScriptedDaemon
) -> None:
    with a_web_screen(installation) as (process, address):
        async with a_browser(address) as browser, browser.socket() as page:
            await read_until(page, "qwen3-32b")

            (screen,) = screens_of(process.pid)

            assert screen.ppid() == process.pid
            assert Path(screen.exe()).samefile(sys.executable)
            assert screen.cmdline()[1:4] == ["-P", "-m", "localllm.cli.web_child"]
            seen = screen.environ()
            assert "secret" not in str(seen)
            assert seen["LOCALLLM_HOME"] == str(installation.home)
            assert not {*SECRETS} & seen.keys()


async def test_a_page_that_goes_takes_its_screen_along(
    installation: Installation, daemon: ScriptedDaemon
) -> None:
    with a_web_screen(installation) as (process, address):
        async with a_browser(address) as browser:
            async with browser.socket() as page:
                await read_until(page, "qwen3-32b")
                assert len(screens_of(process.pid)) == 1

            await until(lambda: not screens_of(process.pid), "the screen to end")
        assert process.poll() is None
    assert (installation.state / "logs" / "screen.log").read_text() == ""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGHUP, -1), (signal.SIGKILL, -9)],
)
async def test_however_the_server_ends_no_screen_stays(
    installation: Installation, daemon: ScriptedDaemon, number: signal.Signals, code: int
) -> None:
    with a_web_screen(installation) as (process, address):
        async with a_browser(address) as browser:
            async with browser.socket() as one, browser.socket() as other:
                await read_until(one, "qwen3-32b")
                await read_until(other, "qwen3-32b")
                screens = screens_of(process.pid)
                assert len(screens) == 2

                process.send_signal(number)

                await until(lambda: process.poll() is not None, "the server to end")
                await until(lambda: not any(map(is_alive, screens)), "the screens to end")
        assert process.returncode == code


async def test_a_daemon_that_is_started_from_a_page_has_what_the_screen_has_not(
    installation: Installation,
) -> None:
    with a_web_screen(installation) as (_, address):
        async with a_browser(address) as browser, browser.socket() as page:
            await read_until(page, "no daemon since")
            await page.send_json(["stdin", "S"])
            await until((installation.state / "daemon.json").exists, "the daemon to start")

    daemon = psutil.Process(installation.daemon_file()["pid"])
    assert daemon.environ().items() >= SECRETS.items()


async def test_no_color_is_heeded(tmp_path: Path) -> None:
    installation = Installation(tmp_path, NO_COLOR="1")
    installation.state.mkdir(parents=True)
    with ScriptedDaemon(scenes.rtx5090(), installation.state), a_web_screen(installation) as web:
        async with a_browser(web[1]) as browser, browser.socket() as page:
            shown = await read_until(page, "qwen3-32b")

    colours = set(re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", shown))
    assert colours
    assert all(red == green == blue for red, green, blue in colours)


def test_nobody_listens_beyond_loopback_and_the_port_may_be_chosen(
    installation: Installation, daemon: ScriptedDaemon
) -> None:
    port = free_port()
    with a_web_screen(installation, "--port", str(port)) as (process, address):
        listening = [c.laddr for c in psutil.Process(process.pid).net_connections() if not c.raddr]

        assert address.startswith(f"http://127.0.0.1:{port}/?token=")
        assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1"}
        assert {at for _, at in listening} == {port}


def test_a_port_that_is_taken_is_an_error_with_a_way_out(installation: Installation) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        ran = installation.run("tui", "--web", "--port", str(other.getsockname()[1]))

    assert (ran.code, ran.out) == (1, "")
    assert "cannot be had" in ran.err
    assert "fix: localllm tui --web, which takes a port that is free" in ran.err


def test_without_the_extra_it_says_how_to_get_it(
    installation: Installation, tmp_path: Path
) -> None:
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    (hiding / "sitecustomize.py").write_text(
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'textual_serve' else real(name, *a)\n"
    )
    installation.environment["PYTHONPATH"] += f":{hiding}"

    ran = installation.run("tui", "--web")

    assert (ran.code, ran.out) == (1, "")
    assert "textual-serve, which draws it there, is not installed" in ran.err
    assert "pip install 'localllm[web]'" in ran.err


def test_a_port_alone_is_a_usage_error(installation: Installation) -> None:
    ran = installation.run("tui", "--port", "8000")

    assert ran.code == 2
    assert "--port goes with --web" in ran.err
