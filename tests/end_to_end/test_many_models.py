"""Several real models in one daemon: switched, pinned, loaded on request, unloaded, kept apart."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.installation import Installation, wait_until
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]
MODEL = "smollm2-135m-instruct"
SMALL = ("--context", "1024", "--parallel", "2")


def copy_of_the_model(here: Installation, name: str) -> str:
    file = here.home / f"{name}.gguf"
    shutil.copy(smollm2(), file)
    return str(file)


def ask(here: Installation, model: str | None, prompt: str = "Say hi.", tokens: int = 4) -> Any:
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        **({} if model is None else {"model": model}),
    }
    connection = HTTPConnection("127.0.0.1", here.port, timeout=200)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        return {"status": answer.status, **json.loads(answer.read())}
    finally:
        connection.close()


def states(here: Installation) -> dict[str, str]:
    return {m["id"]: m["state"] for m in here.json("status")["models"]}


def topics(here: Installation) -> list[tuple[str, str | None]]:
    lines = here.ok("events", "--json").splitlines()
    return [(e["topic"], e["model"]) for e in map(json.loads, lines) if e["topic"] != "state"]


def test_a_switch_takes_the_place_of_what_was_served_and_says_how_long_nobody_was(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.ok("up", copy_of_the_model(here, "first"), *SMALL)
    second = copy_of_the_model(here, "second")

    said = here.ok("switch", second, *SMALL)

    assert "second is served at" in said
    assert "the old model served until it was ready: no request waited" in said
    wait_until(lambda: states(here) == {"second": "ready"}, "the first is gone")
    assert ask(here, "localllm")["model"] == ask(here, None)["model"] == "second"
    assert topics(here) == [("switched", "second")]
    assert "takes over from first:q4_1:1024" in here.ok("events")
    [model] = here.json("status")["models"]
    assert (model["current"], model["gap"]) == (True, 0.0)
    os.kill(here.daemon_file()["pid"], signal.SIGKILL)
    here.ok("up")
    assert list(states(here)) == ["second"], "what was replaced is not served again"


def test_a_switch_to_a_broken_file_leaves_the_old_model_serving(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.configure("[supervision]\nmax_crashes = 1\n")
    here.ok("up", copy_of_the_model(here, "first"), *SMALL)
    broken = Path(copy_of_the_model(here, "broken"))
    with broken.open("r+b") as file:  # the header is whole, weights are missing
        file.truncate(broken.stat().st_size // 2)

    ran = here.run("switch", str(broken), *SMALL)

    assert ran.code != 0
    assert "why:" in ran.err
    assert "fix:" in ran.err
    assert here.run("switch", str(broken), *SMALL).code != 0, "still"
    assert ask(here, "localllm")["model"] == "first"
    assert states(here) == {"first": "ready"}
    os.kill(here.daemon_file()["pid"], signal.SIGKILL)
    here.ok("up")
    assert states(here) == {"first": "ready"}


def test_a_request_loads_an_installed_model_which_goes_again_when_nobody_uses_it(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.configure("[supervision]\nkeep_alive = '3s'\nwatch_every_s = 0.5\n")
    first = copy_of_the_model(here, "first")
    here.ok("up", first, *SMALL)

    with ThreadPoolExecutor() as pool:  # several at once load it once
        answers = list(pool.map(lambda _: ask(here, MODEL), range(3)))

    assert [(a["status"], a["model"]) for a in answers] == [(200, MODEL)] * 3
    assert ask(here, "localllm")["model"] == "first", "what a person asked for stays what is meant"
    wait_until(lambda: states(here)[MODEL] == "stopped", "nobody has used it for 3 s")
    assert states(here)["first"] == "ready", "for ever"
    assert topics(here) == [("loaded", MODEL), ("unloaded", MODEL)]
    assert ask(here, MODEL)["status"] == 200, "and comes back"
    os.kill(here.daemon_file()["pid"], signal.SIGKILL)
    here.ok("up")
    assert list(states(here)) == ["first"], "a request's model is not served again unasked"


@pytest.mark.parametrize(
    "name", ["no-such-model", "/etc/hostname", "etc/ssl", "{path}", "~/model.gguf"]
)
def test_a_request_loads_neither_what_is_not_there_nor_a_file_by_its_path(
    install: Callable[..., Installation], name: str
) -> None:
    here = install()
    path = copy_of_the_model(here, "second")
    here.ok("up", copy_of_the_model(here, "first"), *SMALL)

    answer = ask(here, name.format(path=path))

    assert (answer["status"], answer["error"]["code"]) == (404, "model_not_found")
    assert list(states(here)) == ["first"]


def test_loading_on_request_can_be_switched_off(install: Callable[..., Installation]) -> None:
    here = install()
    here.configure("[supervision]\nload_on_request = false\n")
    here.ok("up", copy_of_the_model(here, "first"), *SMALL)

    assert ask(here, MODEL)["status"] == 404


def test_a_pin_holds_through_a_switch_and_a_crash_of_the_daemon(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.ok("up", copy_of_the_model(here, "first"), *SMALL)
    assert here.json("pin", "first") == {"id": "first", "pinned": True}
    here.ok("switch", copy_of_the_model(here, "second"), *SMALL)
    assert states(here) == {"first": "ready", "second": "ready"}

    os.kill(here.daemon_file()["pid"], signal.SIGKILL)
    here.ok("up")

    wait_until(lambda: states(here) == {"first": "ready", "second": "ready"}, "both are back")
    models = {m["id"]: m for m in here.json("status")["models"]}
    assert [models[name]["pinned"] for name in ("first", "second")] == [True, False]
    assert models["second"]["current"]
    assert here.ok("unpin", "first").strip() == "first is no longer pinned"
    assert here.run("pin", "nobody").code == 5


def test_a_profile_keeps_long_prompts_apart(install: Callable[..., Installation]) -> None:
    here = install()
    first = copy_of_the_model(here, "first")
    here.configure(
        f'[profiles.apart]\nmodel = "{first}"\ncontext = 512\nparallel = 2\nlong_context = 4096\n'
    )
    here.ok("up", "--profile", "apart")
    wait_until(lambda: len(here.json("status")["models"]) == 2, "there are two")
    wait_until(
        lambda: {m["state"] for m in here.json("status")["models"]} == {"ready"}, "both are ready"
    )

    short = ask(here, "first")
    long = ask(here, "first", "Say one word about this: " + "the quick brown fox " * 200)

    assert (short["status"], long["status"]) == (200, 200)
    assert long["usage"]["prompt_tokens"] > 512
    done = {m["lane"]: m["requests"]["total"] for m in here.json("status")["models"]}
    assert done == {"main": 1, "long": 1}
    here.ok("stop", "first")
    assert states(here) == {}


def test_two_long_prompts_that_share_a_cache_are_both_answered(
    install: Callable[..., Installation],
) -> None:
    """Each has most of the cells: at once, the engine would fail one of them."""
    here = install()
    here.ok("up", copy_of_the_model(here, "first"), "--context", "2048", "--parallel", "2")
    prompts = [f"{n}: say one word. " + "the quick brown fox " * 330 for n in (1, 2)]

    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda prompt: ask(here, "first", prompt, 40), prompts))

    assert [a["status"] for a in answers] == [200, 200], answers
    assert all(1200 < a["usage"]["prompt_tokens"] < 2000 for a in answers)
