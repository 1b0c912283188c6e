"""What is done where images are wanted of a model that is here without its projector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from localllm.api.views import ServeReply
from tests.fakes.hub import FakeHub, serving
from tests.smollm2 import smollm2
from tests.unit.agents.an_endpoint import instance
from tests.unit.cli.a_hub_user import HubUser
from tests.unit.cli.a_pull import a_pull
from tests.unit.cli.a_scripted_daemon import ScriptedDaemon, a_scripted_daemon
from tests.unit.cli.test_up_fetches import a_status

REPO = "me/SmolLM2-GGUF"
MODEL = f"hf:{REPO}:Q4_1"
LOAD, BEGIN = f"POST models/{quote(MODEL, safe='')}/load", "POST pulls"
DONE = a_pull(model=MODEL, state="done")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with serving(tmp_path / "hub") as served:
        (served.add(REPO).folder / smollm2().name).symlink_to(smollm2())
        yield served


@pytest.fixture
def user(tmp_path: Path, hub: FakeHub) -> HubUser:
    """One who has the model, and not what it sees with."""
    user = HubUser(tmp_path, hub.url)
    user.ok("pull", MODEL)
    hub.forget()
    return user


@pytest.fixture
def daemon(user: HubUser) -> Iterator[ScriptedDaemon]:
    with a_scripted_daemon(user.state, user.environment) as scripted:
        reply = ServeReply(id="m", instance="m:1", already=False, stand_in=False, reason="it fits")
        scripted.will(LOAD, reply)
        scripted.will("POST switch", reply)
        scripted.will("GET models", [instance("m")])
        scripted.will("GET status", a_status())
        scripted.will("GET pulls", [])
        scripted.will(BEGIN, DONE)
        yield scripted


def with_projector(hub: FakeHub) -> None:
    hub.repositories[REPO].put("mmproj-F16.gguf", b"x" * 500)


@pytest.mark.parametrize("verb", ["up", "switch"])
def test_the_projector_is_fetched_before_the_model_is_served(
    user: HubUser, hub: FakeHub, daemon: ScriptedDaemon, verb: str
) -> None:
    with_projector(hub)

    ran = user.ok(verb, MODEL, "--use", "vision", "--yes")

    asked = [call for call, _ in daemon.asked if call.startswith("POST")]
    assert asked == [BEGIN, LOAD if verb == "up" else "POST switch"]
    assert daemon.bodies(BEGIN)[0]["use"] == "vision"
    assert "serves no images" not in ran.stderr


def test_the_use_of_a_profile_counts_too(
    user: HubUser, hub: FakeHub, daemon: ScriptedDaemon
) -> None:
    with_projector(hub)
    config = user.installation / "config"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(f'[profiles.p]\nmodel = "{MODEL}"\nuse = "vision"\n')

    user.ok("up", "--profile", "p", "--yes")

    assert len(daemon.bodies(BEGIN)) == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--offline"], "--offline was given"),
        ([], "nobody can be asked here"),
    ],
)
def test_where_it_may_not_be_fetched_one_sentence_says_that_images_are_not_served(
    user: HubUser, hub: FakeHub, daemon: ScriptedDaemon, words: list[str], why: str
) -> None:
    with_projector(hub)

    ran = user.ok("up", MODEL, "--use", "vision", *words)

    [said] = [line for line in ran.stderr.splitlines() if "serves no images" in line]
    assert said.startswith(f"{MODEL} serves no images: its projector is not here, and ")
    assert why in said
    assert daemon.bodies(BEGIN) == []


def test_where_there_is_none_that_is_said(user: HubUser, daemon: ScriptedDaemon) -> None:
    ran = user.ok("up", MODEL, "--use", "vision", "--yes")

    assert "serves no images: its projector is not here, and no projector of it is known" in (
        ran.stderr
    )
    assert daemon.bodies(BEGIN) == []


def test_where_no_images_are_wanted_no_hub_is_asked(
    user: HubUser, hub: FakeHub, daemon: ScriptedDaemon
) -> None:
    with_projector(hub)

    user.ok("up", MODEL, "--yes")

    assert hub.requests == []
