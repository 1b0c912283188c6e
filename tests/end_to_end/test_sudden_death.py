"""Whatever is killed, nothing is orphaned, nobody waits in vain, and the model comes back."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fakes.installation import Installation, wait_until

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(120)]
MODEL = "smollm2-135m-instruct"


ANSWERS: list[HTTPResponse] = []


@pytest.fixture(autouse=True)
def close_answers() -> Iterator[None]:
    """An answer that a test leaves half read would be a socket open in the next one."""
    yield
    while ANSWERS:
        ANSWERS.pop().close()


def chat(installation: Installation, *, stream: bool, tokens: int) -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", installation.port, timeout=60)
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Count as far as you can."}],
        "stream": stream,
        "max_tokens": tokens,
        "ignore_eos": True,
    }
    headers = {"Content-Type": "application/json", "Connection": "close"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    ANSWERS.append(connection.getresponse())
    return ANSWERS[-1]


def events(response: HTTPResponse) -> Iterator[Any]:
    for line in response:
        if line.startswith(b"data: {"):
            yield json.loads(line[6:])


def engines(installation: Installation) -> list[psutil.Process]:
    daemon = installation.daemon_file()["pid"]
    others = [p for p in installation.processes() if p.pid != daemon]
    lines = {p: p.cmdline() for p in others if p.is_running()}
    return [
        p
        for p, line in lines.items()
        if "localllm.engines" in str(line) and "--devices" not in line
    ]


def test_a_killed_engine_gives_the_stream_an_error_and_the_model_comes_back(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.ok("up")
    response = chat(here, stream=True, tokens=4000)
    stream = events(response)
    next(stream)
    killed = here.model()["pid"]
    daemon = here.daemon_file()["pid"]

    os.kill(killed, signal.SIGKILL)
    at = time.monotonic()
    last = list(stream)[-1]

    assert time.monotonic() - at < 1.0
    assert last["error"]["code"] == "engine_gone"
    assert last["error"]["type"] == "server_error"

    def answered() -> dict[str, Any] | None:
        """Ask; in the instant of the death there may be a 502, at which clients ask again."""
        answer: dict[str, Any] = json.loads(chat(here, stream=False, tokens=4).read())
        return answer if answer.get("error", {}).get("code") != "engine_gone" else None

    answer = wait_until(answered, "it is answered again")
    assert answer["usage"]["completion_tokens"] == 4
    assert here.model()["pid"] != killed
    assert here.daemon_file()["pid"] == daemon


@pytest.mark.parametrize("when", ["ready", "loading"])
def test_a_killed_daemon_takes_every_engine_along_within_2_s(
    install: Callable[..., Installation], when: str
) -> None:
    here = install()
    if when == "ready":
        here.ok("up")
    else:
        up = here.start("up")
        wait_until(lambda: (here.state / "daemon.json").exists() and engines(here), "it loads")
    daemon = here.daemon_file()["pid"]
    children = engines(here)
    assert children

    os.kill(daemon, signal.SIGKILL)

    _, alive = psutil.wait_procs(children, timeout=2.0)
    assert alive == []
    if when == "loading":
        up.communicate()


def test_what_was_served_is_served_again_after_a_crash(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.ok("up", "smollm2", "--context", "2048", "--parallel", "2")
    os.kill(here.daemon_file()["pid"], signal.SIGKILL)

    here.ok("up")

    model = here.model()
    assert (model["context"], model["parallel"], model["state"]) == (2048, 2, "ready")


def test_an_engine_whose_guard_was_killed_too_is_ended_by_the_next_daemon(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.ok("up")
    engine = next(p for p in engines(here) if p.pid == here.model()["pid"])
    guards = [p for p in engines(here) if p.pid != engine.pid]
    daemon = psutil.Process(here.daemon_file()["pid"])
    for process in (*guards, daemon):
        process.kill()
    psutil.wait_procs([daemon], timeout=5)
    assert engine.is_running(), "an orphan, for the test's sake"

    here.ok("up")

    psutil.wait_procs([engine], timeout=5)
    assert not engine.is_running()
    assert f"pid={engine.pid}" in (here.state / "logs" / "daemon.log").read_text()


def test_sigterm_lets_a_running_request_finish_and_admits_no_new_one(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.configure("[supervision]\ndrain_timeout_s = 90\n")
    here.ok("up")
    response = chat(here, stream=True, tokens=120)
    stream = events(response)
    next(stream)
    daemon = psutil.Process(here.daemon_file()["pid"])

    daemon.terminate()
    wait_until(lambda: "stopping" in (here.state / "logs" / "daemon.log").read_text(), "it drains")
    refused = chat(here, stream=False, tokens=4)
    rest = list(stream)

    assert refused.status == 503
    assert refused.headers["Retry-After"]
    assert "choices" in rest[-1], rest[-1]
    assert rest[-1]["choices"][0]["finish_reason"] == "length"
    psutil.wait_procs([daemon], timeout=60)
    assert here.processes() == []
    assert json.loads((here.state / "serving.json").read_text())["serving"], "for after the reboot"


def test_a_client_that_goes_away_ends_its_generation(install: Callable[..., Installation]) -> None:
    here = install()
    here.ok("up")
    response = chat(here, stream=True, tokens=8000)
    stream = events(response)
    next(stream)
    assert here.model()["requests"]["active"] == 1

    response.close()

    wait_until(lambda: here.model()["requests"]["active"] == 0, "the daemon lets go", within_s=5)
    log = next((here.state / "logs").glob("smollm2*.log"))
    wait_until(lambda: released(log), "llama.cpp's slot is free", within_s=5)


def released(log: Path) -> bool:
    lines = [
        line
        for line in log.read_text().splitlines()
        if "launch_slot_" in line or "release:" in line
    ]
    return "release:" in lines[-1]


def test_requests_that_arrive_while_the_model_restarts_wait_for_it(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.ok("up")
    os.kill(here.model()["pid"], signal.SIGKILL)
    wait_until(lambda: here.model()["state"] != "ready", "the death is noticed")
    answers: list[int] = []

    def ask(stream: bool) -> None:
        response = chat(here, stream=stream, tokens=4)
        text = response.read()
        answers.append(response.status if b"error" not in text else 0)

    threads = [threading.Thread(target=ask, args=(stream,)) for stream in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [200, 200]
