"""What happens in the film: a model is served, asked, watched and switched, all of it real."""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from record_up_svg import Frame
from record_up_terminal import Film, Terminal, a_terminal

ROOT = Path(__file__).resolve().parents[1]
MODEL = "smollm2-135m-instruct"
PORT = 11711
_QUESTION = "Describe the sea at dawn in one sentence."
_TASK = "Write a long story about a heron who learns to sail."


def film_up(folder: Path, size: tuple[int, int]) -> list[Frame]:
    """Play it in a home in this folder; nothing of it runs afterwards.

    Raises:
        RuntimeError: The daemon's port is taken, or something of this machine would be seen.
    """
    _require_port()
    environment = _environment(folder)
    with a_terminal(folder / "tmux", size, environment) as terminal:
        film = Film(terminal)
        try:
            with film.recording():
                _play(terminal, film)
        finally:
            subprocess.run(_localllm("down"), env=environment, check=False, capture_output=True)
    _check(film.frames, folder)
    return film.frames


def _play(terminal: Terminal, film: Film) -> None:
    _wait_for_prompt(terminal)
    time.sleep(0.6)
    _type(terminal, film, f"localllm up {MODEL}")
    with film.hurrying(0.3):
        terminal.wait_for("is served at")
        _wait_for_prompt(terminal)
    time.sleep(1.8)
    _type(terminal, film, f'localllm run {MODEL} "{_QUESTION}"')
    _wait_for_prompt(terminal)
    time.sleep(1.2)
    with an_agent_at_work():
        _type(terminal, film, "localllm tui")
        with film.hurrying(0.5):
            terminal.wait_for("generating")
        time.sleep(2.5)
        _switch(terminal, film)


def _switch(terminal: Terminal, film: Film) -> None:
    """To the same model with half the context: there is no other one that everybody has."""
    film.press("s")
    with film.hurrying(0.4):
        terminal.wait_for("verdict", MODEL)
    time.sleep(0.7)
    film.press("1", "3", "5", "Space", "q", "4", said="135 q4")
    with film.hurrying(0.4):
        terminal.wait_for("135 q4", "Q4_1  ready")
    time.sleep(0.6)
    film.press("Down", said="↓")
    time.sleep(0.5)
    film.press("-")
    with film.hurrying(0.4):
        terminal.wait_for("(4096 tokens")  # what it would take
    time.sleep(1.5)
    film.press("Enter", said="enter")
    with film.hurrying(0.25):
        terminal.wait_for("is ready: context")
    time.sleep(1.2)
    film.press("Escape", said="esc")
    with film.hurrying(0.4):
        terminal.wait_for("generating")
    film.keys = ""
    time.sleep(1.5)


def _type(terminal: Terminal, film: Film, command: str) -> None:
    with film.hurrying(0.7):
        terminal.type(command)


@contextmanager
def an_agent_at_work() -> Iterator[None]:
    """Have another program ask for something long, again and again, as long as the block runs."""
    over = threading.Event()
    thread = threading.Thread(target=_ask, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _ask(over: threading.Event) -> None:
    asked = {"model": "localllm", "stream": True, "max_tokens": 160}
    body = {**asked, "messages": [{"role": "user", "content": _TASK}]}
    headers = {"Content-Type": "application/json", "User-Agent": "an-agent/1.0"}
    while not over.wait(0.2):
        connection = HTTPConnection("127.0.0.1", PORT, timeout=60)
        with suppress(OSError, HTTPException):
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            while not over.is_set() and answer.readline():
                pass
        connection.close()


def _require_port() -> None:
    with socket.socket() as trial:
        if trial.connect_ex(("127.0.0.1", PORT)) == 0:
            raise RuntimeError(f"Port {PORT} is taken: end the daemon that runs here.")


def _wait_for_prompt(terminal: Terminal) -> None:
    deadline = time.monotonic() + 120
    while not f"\n{terminal.text().rstrip()}".endswith("\n$"):
        if time.monotonic() > deadline:
            raise TimeoutError(terminal.text())
        time.sleep(0.1)


def _localllm(*words: str) -> list[str]:
    return [sys.executable, "-m", "localllm", *words]


def _environment(folder: Path) -> dict[str, str]:
    """Of a home of its own, where nothing is but what the film brings."""
    bin_of_this = str(Path(sys.executable).parent)
    return {
        "HOME": str(folder),
        "LOCALLLM_HOME": str(folder / "localllm"),
        "PATH": os.pathsep.join((bin_of_this, "/usr/local/bin", "/usr/bin", "/bin")),
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "HISTFILE": "/dev/null",  # the shell writes it when the folder is about to go
        "TERM": "tmux-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
    }


def _check(frames: Sequence[Frame], folder: Path) -> None:
    """Look for what nobody needs to know."""
    secrets = {str(folder), str(ROOT), socket.gethostname(), f"{getpass.getuser()}@"}
    for frame in frames:
        for row in frame.screen:
            text = "".join(run.text for run in row)
            seen = [secret for secret in secrets if secret in text]
            if seen:
                raise RuntimeError(f"The film shows {seen}: {text}")
