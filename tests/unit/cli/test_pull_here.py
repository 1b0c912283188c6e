"""`localllm pull` without a daemon: a real hub on loopback, a real cache."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub, serving
from tests.smollm2 import smollm2
from tests.unit.cli.a_hub_user import HubUser
from tests.unit.cli.a_pull import a_file, a_pull
from tests.unit.cli.a_scripted_daemon import a_scripted_daemon

MODEL, MIB = "hf:me/SmolLM2-GGUF", 1 << 20


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with serving(tmp_path / "hub") as served:
        repository = served.add("me/SmolLM2-GGUF")
        (repository.folder / smollm2().name).symlink_to(smollm2())
        yield served


@pytest.fixture
def user(tmp_path: Path, hub: FakeHub) -> HubUser:
    return HubUser(tmp_path, hub.url)


def test_it_is_here_then_and_the_second_time_it_is_here_already(
    user: HubUser, hub: FakeHub
) -> None:
    pulled = user.json("pull", MODEL)
    sent = hub.sent_bytes
    again = user.json("pull", MODEL, "--offline")

    assert Path(pulled["path"]).read_bytes() == smollm2().read_bytes()
    assert Path(pulled["path"]).is_relative_to(user.cache)
    assert (pulled["already"], again["already"]) == (False, True)
    assert again["path"] == pulled["path"]
    assert hub.sent_bytes == sent


def test_ctrl_c_loses_nothing_and_the_same_command_goes_on(user: HubUser, hub: FakeHub) -> None:
    size = smollm2().stat().st_size
    hub.bytes_per_s = 8.0 * MIB

    with user.start("pull", MODEL) as process:
        assert process.stderr is not None
        said = ""
        while "20%" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    hub.bytes_per_s = None
    user.ok("pull", MODEL)

    assert (process.returncode, out) == (130, "")
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    assert hub.sent_of[f"me/SmolLM2-GGUF/{smollm2().name}"] < 1.4 * size


def test_a_limit_is_kept_to(user: HubUser, hub: FakeHub) -> None:
    ran = user.ok("pull", MODEL, "--limit", "40")

    begun, ended = hub.sent_between or (0.0, 0.0)
    assert ended - begun > 1.5, ran
    assert ran.stderr.count("%") >= 9


@pytest.mark.parametrize("words", [["--limit", "0"], ["--limit", "-1"], ["--context", "0"]])
def test_what_makes_no_sense_is_wrong_usage(user: HubUser, words: list[str]) -> None:
    assert user.run("pull", MODEL, *words).returncode == 2


def test_what_does_not_fit_is_refused_unless_it_is_wanted_anyway(
    user: HubUser, hub: FakeHub
) -> None:
    too_much = ("pull", MODEL, "--context", "100000000")

    refused = user.run(*too_much)
    fetched = user.ok(*too_much, "--anyway")

    assert refused.returncode == 3, refused
    assert "--anyway" in refused.stderr
    assert "is on this disk: " in fetched.stdout


@pytest.mark.parametrize(("repo", "waits"), [("me/SmolLM2-GGUF", True), ("me/other", False)])
def test_a_pull_of_its_own_says_that_it_waits_for_the_daemons(
    user: HubUser, repo: str, waits: bool
) -> None:
    there = a_pull(a_file(smollm2().name), repo=repo)
    with a_scripted_daemon(user.state, user.environment) as daemon:
        daemon.will("GET pulls", [there])

        ran = user.ok("pull", MODEL, "--limit", "1000")

    assert ("the daemon is fetching the same, without this limit" in ran.stderr) is waits
    assert daemon.bodies("POST pulls") == []
