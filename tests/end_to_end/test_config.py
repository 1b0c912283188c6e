"""The settings of a daemon that serves: changed while answers run, wrong in between, and shown."""

from __future__ import annotations

import json
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.installation import Installation, wait_until

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]
MODEL = "smollm2-135m-instruct"
PAGE = "http://my.page:3000"
PROFILE = f'[profiles.mine]\nmodel = "{MODEL}"\ncontext = '
RELOADED_WITHIN_S = 0.1


@pytest.fixture(scope="module")
def here() -> Iterator[Installation]:
    """One daemon for all: a test says all of its file anew."""
    with tempfile.TemporaryDirectory(prefix="lll-") as home:
        installation = Installation(Path(home))
        installation.configure(f"{PROFILE}512\n")
        installation.ok("up", "--profile", "mine", within_s=120)
        yield installation
        installation.close()


def ask(here: Installation, method: str, path: str, **headers: str) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", here.port, timeout=60)
    token = here.daemon_file()["token"]
    connection.request(method, path, headers={"Authorization": f"Bearer {token}", **headers})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text)


def settings(here: Installation) -> dict[str, Any]:
    _, view = ask(here, "GET", "/api/v1/config")
    return {one["key"]: one["value"] for one in view["settings"]}


def contexts(here: Installation) -> list[tuple[int, str]]:
    _, models = ask(here, "GET", "/api/v1/models")
    return [(model["context"], model["state"]) for model in models]


@dataclass(slots=True)
class Streams:
    """Asks for one answer after the other, and notes how each came."""

    here: Installation
    whole: int = 0
    broken: list[str] = field(default_factory=list[str])
    gaps_s: list[float] = field(default_factory=list[float])
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Streams:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        wait_until(lambda: self.gaps_s, "an answer is on its way")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._one()
            except Exception as error:  # noqa: BLE001  # whatever it is, it is told
                self.broken.append(repr(error))

    def _one(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.here.port, timeout=60)
        messages = [{"role": "user", "content": "Tell me a long story of a fox."}]
        body = {"model": "mine", "messages": messages, "stream": True, "max_tokens": 150}
        connection.request(
            "POST",
            "/v1/chat/completions",
            json.dumps(body),
            {"Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        last, ended = time.monotonic(), False
        for line in answer:
            if line.startswith(b"data: "):
                now = time.monotonic()
                self.gaps_s.append(now - last)
                last, ended = now, line.startswith(b"data: [DONE]")
        connection.close()
        if ended and answer.status == 200:
            self.whole += 1
        else:
            self.broken.append(f"status {answer.status}, ended: {ended}")


def test_answers_run_on_while_settings_change_are_wrong_and_give_a_model_another_context(
    here: Installation,
) -> None:
    with Streams(here) as streams:
        here.configure(f'origins = ["{PAGE}"]\n{PROFILE}512\n')
        wait_until(lambda: settings(here)["origins"] == [PAGE], "the file was read again")
        assert ask(here, "GET", "/v1/models", Origin=PAGE)[0] == 200

        here.configure(f'origins = ["{PAGE}"]\nprot = 1\n{PROFILE}1024\n')
        wrong = wait_until(
            lambda: ask(here, "GET", "/api/v1/status")[1]["config"]["error"], "it is shown"
        )
        now = ask(here, "GET", "/api/v1/now")[1]
        assert wrong["message"].endswith("config.toml:2:1 is wrong.")
        assert "write port instead of prot" in wrong["fix"]
        assert now["config"]["error"] == wrong
        assert "there is no setting prot; what it said before counts" in here.ok("status")
        assert (contexts(here), settings(here)["origins"]) == ([(512, "ready")], [PAGE])

        here.configure(f'origins = ["{PAGE}"]\n{PROFILE}1024\n')
        wait_until(lambda: contexts(here) == [(1024, "ready")], "the new one has taken over")
        assert ask(here, "GET", "/api/v1/status")[1]["config"]["error"] is None
        many = streams.whole + 1
        wait_until(lambda: streams.whole > many, "the new one answers")

    assert streams.broken == []
    said = [
        e["why"]
        for e in map(json.loads, here.ok("events", "--json").splitlines())
        if e.get("topic") == "config"
    ]
    assert any(why.startswith("changed: origins") for why in said)
    assert any("there is no setting prot" in why for why in said)
    assert any(why.endswith("is right again") for why in said)


def test_a_signal_has_the_file_read_at_once_and_no_answer_waits_for_it(here: Installation) -> None:
    pid, took_s = here.daemon_file()["pid"], []
    with Streams(here) as streams:
        for number in range(20):
            wanted = 100 + number
            here.configure(f"max_connections = {wanted}\n{PROFILE}1024\n")
            begun = time.monotonic()
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda w=wanted: settings(here)["max_connections"] == w, "it counts")
            took_s.append(time.monotonic() - begun)

    assert streams.broken == []
    assert statistics.median(took_s) < RELOADED_WITHIN_S


def test_what_waits_for_a_restart_or_cannot_be_is_said_until_it_is_mended(
    here: Installation,
) -> None:
    here.configure(f"port = 11999\n[downloads]\nat_once = 3\n{PROFILE}1024\n")

    changed = here.json("config", "reload")["changed"]
    by_key = {one["key"]: one for one in changed}

    assert by_key["downloads.at_once"]["effect"] == "live"
    assert "port" not in by_key, "the environment has the say"
    here.configure(f"{PROFILE}1000000000\n")
    reload = here.json("config", "reload")
    assert reload["anew"] == [MODEL]
    waiting = wait_until(
        lambda: ask(here, "GET", "/api/v1/status")[1]["config"]["waiting"], "it does not fit"
    )
    assert f"{MODEL} goes on as it was (profiles.mine.context)" in waiting[0]
    assert contexts(here) == [(1024, "ready")]
    here.configure(f"{PROFILE}1024\n")
    here.ok("config", "reload")
    wait_until(
        lambda: not ask(here, "GET", "/api/v1/status")[1]["config"]["waiting"], "it is mended"
    )


def test_a_profile_counts_as_soon_as_it_is_written_and_a_wrong_file_is_said_to_who_names_one(
    here: Installation,
) -> None:
    here.configure(f'{PROFILE}1024\n[profiles.quick]\nmodel = "{MODEL}"\ncontext = 768\n')
    here.ok("up", "--profile", "quick", within_s=120)
    wait_until(lambda: contexts(here) == [(768, "ready")], "it has taken over")

    here.configure(f"prot = 1\n{PROFILE}1024\n")
    refused = here.run("up", "--profile", "mine")

    assert refused.code == 2
    assert "write port instead of prot" in refused.err


def test_each_value_is_shown_with_who_has_said_it(here: Installation) -> None:
    here.configure(f"max_body_mib = 8\n{PROFILE}1024\n[profiles.mine.sampling]\ntop_k = 3\n")
    here.ok("config", "reload")
    here.ok("up", "--profile", "mine", "--parallel", "1", within_s=120)

    of_all = {s["key"]: s for s in here.json("config", "show")["settings"]}
    of_model = {s["key"]: s for s in here.json("config", "show", "--model", "mine")["settings"]}

    assert (of_all["port"]["origin"], of_all["port"]["where"]) == ("environment", "LOCALLLM_PORT")
    assert of_all["max_body_mib"]["origin"] == "config"
    assert of_all["max_body_mib"]["where"].endswith("config.toml:1")
    assert of_all["max_connections"]["origin"] == "default"
    told = {key: (one["value"], one["origin"]) for key, one in of_model.items()}
    assert told["parallel"] == (1, "flag")
    assert told["context"] == (1024, "profile")
    assert told["sampling.top_k"] == (3, "profile")
    assert told["quant"] == (None, "planner")
