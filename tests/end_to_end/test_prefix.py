"""An agent does not wait twice for the same prompt: counted in tokens that are read again, on the real engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.installation import Installation, wait_until
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]
MOST_AGAIN = 64
"""Tokens that may be read beyond the new ones."""

SERVE = (str(smollm2()), "--context", "8192", "--parallel", "2")


class Agent:
    """A conversation that begins with a long system prompt, as agents' do."""

    def __init__(self, here: Installation, name: str) -> None:
        rules = " ".join(f"Rule {i} of {name}: do thing number {i} well." for i in range(60))
        self.here = here
        self.messages: list[Any] = [_said("system", f"You are agent {name}. {rules}")]
        self.tokens = 0

    def turn(self, words: str) -> int:
        """Say something; return how many tokens were read beyond the new ones."""
        self.messages.append(_said("user", words))
        before, answer = self.tokens, ask(self.here, self.messages)
        usage = answer["usage"]
        self.messages.append(answer["choices"][0]["message"])
        self.tokens = usage["prompt_tokens"] + usage["completion_tokens"]
        new = usage["prompt_tokens"] - before
        read = usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]
        return int(read - max(0, new))


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def ask(here: Installation, messages: list[Any]) -> Any:
    body = {"model": "localllm", "messages": messages, "max_tokens": 8, "temperature": 0}
    request = urllib.request.Request(
        f"{here.url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    for tries_left in (2, 1, 0):
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:  # an engine that dies of it is said so, once
            if error.code != 502 or not tries_left:
                raise
    raise AssertionError("it returns or raises")


@pytest.fixture
def here(install: Callable[..., Installation]) -> Iterator[Installation]:
    installation = install()
    installation.ok("up", *SERVE, within_s=120)
    yield installation
    installation.run("down")


def saved(here: Installation) -> list[dict[str, Any]]:
    return list(here.json("prefix", "ls")["prefixes"])


def until_saved(here: Installation, agent: Agent) -> None:
    wait_until(
        lambda: max((one["tokens"] for one in saved(here)), default=0) >= agent.tokens - 2,
        "the idle engine has saved it",
    )


def test_small_requests_and_other_agents_push_no_prompt_out(here: Installation) -> None:
    agents = [Agent(here, name) for name in "ABCD"]
    agents[0].turn("hi")
    for words in ("a title", "a summary", "a topic"):
        ask(here, [_said("user", words)])

    assert agents[0].turn("again") <= MOST_AGAIN
    for agent in agents[1:]:
        agent.turn("hi")
    assert [agent.turn("once more") <= MOST_AGAIN for agent in agents] == [True] * 4


def test_agents_whose_prompts_have_no_room_beside_each_other_lose_none(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.ok("up", str(smollm2()), "--context", "1536", "--parallel", "2", within_s=120)
    one, other = Agent(here, "A"), Agent(here, "B")
    one.turn("hi")
    other.turn("hi")
    assert one.tokens + other.tokens > 1536, "the engine would empty a slot by itself"

    read = [agent.turn("once more") for agent in (one, other, one, other)]

    assert max(read) <= MOST_AGAIN
    here.ok("down")


def test_a_response_that_goes_on_from_an_earlier_one_is_warm(here: Installation) -> None:
    rules = " ".join(f"Rule {i}: do thing number {i} well." for i in range(60))
    first = respond(here, input=f"You are an agent. {rules} Say hi.")

    second = respond(here, input="Once more.", previous_response_id=first["id"])

    usage = second["usage"]
    new = usage["input_tokens"] - first["usage"]["input_tokens"] - first["usage"]["output_tokens"]
    read = usage["input_tokens"] - usage["input_tokens_details"]["cached_tokens"]
    assert read - new <= MOST_AGAIN


def respond(here: Installation, **members: Any) -> Any:
    body = {"model": "localllm", "max_output_tokens": 8, "temperature": 0, "store": True, **members}
    request = urllib.request.Request(
        f"{here.url}/v1/responses",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def test_a_prompt_outlives_down_a_killed_engine_and_a_killed_daemon(here: Installation) -> None:
    agent = Agent(here, "A")
    agent.turn("hi")

    here.ok("down")
    here.ok("up", *SERVE, within_s=120)
    assert agent.turn("after down") <= MOST_AGAIN, "what was not saved yet is saved at the end"

    until_saved(here, agent)
    os.kill(here.model()["pid"], signal.SIGKILL)
    assert agent.turn("after a crash") <= MOST_AGAIN

    until_saved(here, agent)
    os.kill(here.daemon_file()["pid"], signal.SIGKILL)
    wait_until(lambda: not here.processes(), "nothing of it is left")
    here.ok("up", *SERVE, within_s=120)
    assert agent.turn("after the daemon's") <= MOST_AGAIN


def test_what_was_saved_is_the_users_alone_and_goes_when_they_say_so(here: Installation) -> None:
    agent = Agent(here, "A")
    agent.turn("hi")
    until_saved(here, agent)

    folder = here.state / "prefixes"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    here.ok("prefix", "rm", "--all", "--yes")
    assert saved(here) == []


@pytest.mark.parametrize("damage", ["truncated", "foreign", "gone"])
def test_a_damaged_file_is_never_used_and_costs_the_engine_nothing(
    here: Installation, damage: str
) -> None:
    agent = Agent(here, "A")
    agent.turn("hi")
    here.ok("down")
    for file in (here.state / "prefixes").glob("*.kv"):
        _damage(file, damage)
    here.ok("up", *SERVE, within_s=120)
    engine = here.model()["pid"]

    read = agent.turn("again")

    assert read > MOST_AGAIN, "it was read again"
    assert here.model()["pid"] == engine
    assert agent.turn("and on") <= MOST_AGAIN


def _damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    match how:
        case "truncated":
            file.write_bytes(content[: len(content) // 2])
        case "foreign":
            file.write_bytes(os.urandom(len(content)))
        case _:
            file.unlink()


def test_what_was_saved_is_back_in_a_slot_before_anybody_asks(here: Installation) -> None:
    agent = Agent(here, "A")
    agent.turn("hi")
    here.ok("down")
    here.ok("up", *SERVE, within_s=120)

    wait_until(lambda: "put back: instance=" in daemon_log(here), "a slot holds it again")
    here.ok("prefix", "rm", "--all", "--yes")
    assert agent.turn("again") <= MOST_AGAIN, "it is in memory, and needs no file"


def test_where_slots_cannot_be_saved_the_prompt_is_read_again_before_anybody_asks(
    install: Callable[..., Installation],
) -> None:
    here = install()
    drafted = f'model = "{smollm2()}"\ndraft = "{smollm2()}"\ndraft_tokens = 4'
    here.configure(f"[profiles.drafted]\n{drafted}\ncontext = 8192\nparallel = 2\n")
    here.ok("up", "--profile", "drafted", within_s=120)
    agent = Agent(here, "A")
    agent.turn("hi")
    here.ok("down")
    (text,) = (here.state / "prefixes").glob("*.request")
    assert text.stat().st_mode & 0o777 == 0o600
    assert not list((here.state / "prefixes").glob("*.kv"))

    here.ok("up", "--profile", "drafted", within_s=120)
    wait_until(lambda: "read ahead: instance=" in daemon_log(here), "it is read")
    assert agent.turn("again") <= MOST_AGAIN
    here.ok("down")


def daemon_log(here: Installation) -> str:
    return (here.state / "logs" / "daemon.log").read_text()


def test_on_a_disk_that_is_full_serving_goes_on_and_nothing_half_is_left(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.configure("[prefix]\nmax_gib = 1\n")
    with a_small_disk(here.state / "prefixes") as disk:
        here.ok("up", *SERVE, within_s=120)
        agents = [Agent(here, name) for name in "ABC"]
        for agent in agents:  # the third has no slot, and pushes one out
            agent.turn("hi")
        engine = here.model()["pid"]

        assert agents[2].turn("once more") <= MOST_AGAIN
        agents[0].turn("again")

        assert here.model()["pid"] == engine
        assert saved(here) == []
        wait_until(lambda: not list(disk.iterdir()), "no half file is left")
        here.ok("down")


@contextmanager
def a_small_disk(folder: Path) -> Iterator[Path]:
    """Half as large as what one of these prompts takes."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=10m,mode=700", "none", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk may be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_it_can_be_turned_off(install: Callable[..., Installation]) -> None:
    here = install()
    here.configure("[prefix]\nenabled = false\n")
    here.ok("up", *SERVE, within_s=120)
    agent = Agent(here, "A")
    agent.turn("hi")

    here.ok("down")

    assert not (here.state / "prefixes").exists()
