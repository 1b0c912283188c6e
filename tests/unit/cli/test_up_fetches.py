"""What `up`, `switch` and `run` do about a model that is not on disk: a real hub, a scripted daemon."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from msgspec import structs

from localllm.api.pull_views import PullErrorView, ThenView
from localllm.api.status_views import DaemonView, StatusView
from localllm.api.views import HostView, ProbeView, ServeReply, ServeRequest
from localllm.errors import DoesNotFit, ModelNotFound, NoNetwork
from tests.fakes.hub import FakeHub, serving
from tests.smollm2 import smollm2
from tests.unit.agents.an_endpoint import instance
from tests.unit.cli.a_hub_user import HubUser
from tests.unit.cli.a_pull import a_file, a_pull
from tests.unit.cli.a_scripted_daemon import GOES_AWAY, ScriptedDaemon, a_scripted_daemon

REPO = "me/SmolLM2-GGUF"
MODEL = f"hf:{REPO}"
FETCHED = f"{MODEL}:Q4_1"
MODELS, STATUS, SWITCH, PULLS = "GET models", "GET status", "POST switch", "GET pulls"
BEGIN, PAUSE = "POST pulls", "POST pulls/p1/pause"
WANTED = ServeRequest(model=FETCHED)
REPLY = ServeReply(id="m", instance="m:1", already=False, stand_in=False, reason="it fits")
WAITS = ThenView(how="serve", request=WANTED, reply=None, error=None)
BEGUN = ThenView(how="serve", request=WANTED, reply=REPLY, error=None)
PULLING = a_pull(model=FETCHED, then=WAITS)
HERE = a_pull(a_file(here=4 << 30, state="done"), state="done", model=FETCHED, then=WAITS)
DONE = structs.replace(HERE, then=BEGUN)
GONE = ModelNotFound("It is not here.", why="nobody has it", fix="look for it")


def load(model: str) -> str:
    return f"POST models/{quote(model, safe='')}/load"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    with serving(tmp_path_factory.mktemp("hub")) as served:
        repository = served.add(REPO)
        (repository.folder / smollm2().name).symlink_to(smollm2())
        yield served


@pytest.fixture
def user(tmp_path: Path, hub: FakeHub) -> HubUser:
    return HubUser(tmp_path, hub.url)


@pytest.fixture
def daemon(user: HubUser) -> Iterator[ScriptedDaemon]:
    with a_scripted_daemon(user.state, user.environment) as scripted:
        scripted.will(load(MODEL), GONE)
        scripted.will(SWITCH, GONE)
        scripted.will(MODELS, [], [instance("m")])
        scripted.will(STATUS, a_status())
        scripted.will(BEGIN, PULLING)
        scripted.will(PULLS, [], [PULLING], [HERE], [DONE])
        scripted.will(PAUSE, PULLING)
        yield scripted


def a_status() -> StatusView:
    host = HostView(
        os="linux",
        os_version=None,
        arch="x86_64",
        cpu=None,
        cores=1,
        memory_total=1,
        memory_available=1,
        wsl=False,
        sources={},
    )
    daemon = DaemonView(version="1", pid=1, uptime=1.0, endpoint="http://x/v1", log="")
    return StatusView(
        daemon=daemon, hardware=ProbeView(host=host, devices=[], warnings=[]), models=[]
    )


def nothing_was_fetched(daemon: ScriptedDaemon) -> bool:
    return daemon.bodies(BEGIN) == []


def test_it_is_planned_pulled_and_served_under_the_name_of_what_was_pulled(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    ran = user.ok("up", MODEL, "--yes", "--context", "512")

    assert "m is served at" in ran.stdout
    said = ran.stderr.splitlines()
    assert said[0] == f"{MODEL} Q4_1: 94 MiB from {REPO}"
    assert "512 tokens" in said[1]
    order = [call for call, _ in daemon.asked if call in {load(MODEL), BEGIN, load(FETCHED)}]
    assert order == [load(MODEL), BEGIN]  # and the daemon does the rest
    [pulled] = daemon.bodies(BEGIN)
    assert (pulled["model"], pulled["context"], pulled["anyway"]) == (FETCHED, 512, True)
    assert pulled["then"] == "serve"


def test_switch_fetches_as_up_does(user: HubUser, daemon: ScriptedDaemon) -> None:
    user.ok("switch", MODEL, "--yes")

    assert [body["model"] for body in daemon.bodies(SWITCH)] == [MODEL]
    assert [body["then"] for body in daemon.bodies(BEGIN)] == ["switch"]


def test_what_cannot_be_served_though_it_is_here_is_the_commands_error(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    refusal = DoesNotFit("There is no room now.", why="another one came", fix="stop it")
    error = PullErrorView(message=str(refusal), code=refusal.code)
    daemon.will(PULLS, [], [structs.replace(HERE, then=structs.replace(WAITS, error=error))])
    daemon.will(load(FETCHED), refusal)

    ran = user.run("up", MODEL, "--yes")

    assert ran.returncode == 3, ran
    assert "There is no room now." in ran.stderr


def test_what_somebody_else_has_outdone_since_is_not_served(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will(PULLS, [], [PULLING], [structs.replace(HERE, then=None)])

    ran = user.run("up", MODEL, "--yes")

    assert ran.returncode == 1, ran
    assert f"{FETCHED} is on this disk, and is not served." in ran.stderr
    assert daemon.bodies(load(FETCHED)) == []


@pytest.mark.parametrize("verb", ["up", "switch", "run"])
def test_where_nobody_can_be_asked_nothing_is_fetched_and_it_says_how(
    user: HubUser, daemon: ScriptedDaemon, verb: str
) -> None:
    ran = user.run(verb, MODEL)

    assert (ran.returncode, ran.stdout) == (5, "")
    assert f"{FETCHED} is not on this disk." in ran.stderr
    assert "it is a download of 94 MiB, and nobody can be asked here" in ran.stderr
    assert "--yes" in ran.stderr
    assert nothing_was_fetched(daemon)


def test_on_a_terminal_one_question_is_asked_and_no_means_no(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    code, shown = user.on_a_terminal("up", MODEL, types="n\n")

    assert code == 1
    assert shown.count("[Y/n]") == 1
    assert "fetch it? [Y/n]" in shown
    assert "you said no" in shown
    assert nothing_was_fetched(daemon)


def test_on_a_terminal_yes_fetches_and_serves(user: HubUser, daemon: ScriptedDaemon) -> None:
    code, shown = user.on_a_terminal("up", MODEL, types="y\n")

    assert code == 0, shown
    assert "m is served at" in shown
    assert len(daemon.bodies(BEGIN)) == 1


def test_what_does_not_fit_is_refused_before_a_byte(user: HubUser, daemon: ScriptedDaemon) -> None:
    ran = user.run("up", MODEL, "--yes", "--context", "100000000")

    assert ran.returncode == 3, ran
    assert nothing_was_fetched(daemon)


@pytest.mark.parametrize("verb", ["up", "switch", "run"])
@pytest.mark.parametrize("how", ["--offline", "HF_HUB_OFFLINE"])
def test_offline_no_hub_is_asked(
    user: HubUser, daemon: ScriptedDaemon, hub: FakeHub, verb: str, how: str
) -> None:
    hub.forget()
    words = [verb, MODEL, *(["--offline"] if how == "--offline" else [])]
    user.environment |= {} if how == "--offline" else {"HF_HUB_OFFLINE": "1"}

    ran = user.run(*words)

    assert ran.returncode == 6, ran
    assert len(ran.stderr.splitlines()) == 3
    assert "is not on this disk" in ran.stderr
    assert (hub.requests, nothing_was_fetched(daemon)) == ([], True)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("qwen3-8c", "did you mean qwen3-8b?"),
        ("/nowhere/m.gguf", "It is not here."),
        ("hf:me/None", "There is no repository me/None"),
    ],
)
def test_a_name_that_is_nobodys_is_no_download(
    user: HubUser, daemon: ScriptedDaemon, model: str, said: str
) -> None:
    daemon.will(load(model), GONE)

    ran = user.run("up", model, "--yes")

    assert ran.returncode == 5
    assert said in ran.stderr
    assert nothing_was_fetched(daemon)


def test_no_hub_in_reach_is_one_error(user: HubUser, daemon: ScriptedDaemon) -> None:
    user.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"

    ran = user.run("up", MODEL, "--yes")

    assert ran.returncode == 6
    assert "127.0.0.1:9" in ran.stderr


def test_a_pull_that_fails_is_the_commands_error(user: HubUser, daemon: ScriptedDaemon) -> None:
    failed = NoNetwork("The hub is gone.", why="so it is", fix="again")
    error = PullErrorView(message=str(failed), code=failed.code)
    daemon.will(PULLS, [a_pull(model=FETCHED, state="failed", error=error)])

    ran = user.run("up", MODEL, "--yes")

    assert ran.returncode == 6
    assert "localllm: The hub is gone." in ran.stderr
    assert daemon.bodies(load(FETCHED)) == []


def test_ctrl_c_leaves_the_pull_to_be_gone_on_with(user: HubUser, daemon: ScriptedDaemon) -> None:
    daemon.will(PULLS, [], [PULLING])

    with user.start("up", MODEL, "--yes") as process:
        daemon.wait_until_asked(PULLS, after=BEGIN)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()

    assert process.returncode == 130
    assert "the same command goes on from there" in err
    assert len(daemon.bodies(PAUSE)) == 1


def test_a_daemon_that_was_ended_meanwhile_is_not_started_again(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will(PULLS, [], [PULLING], GOES_AWAY)

    ran = user.run("up", MODEL, "--yes")

    assert ran.returncode == 1, ran
    assert f"The daemon ended before all of {FETCHED} was here." in ran.stderr
    assert "starting another one" not in ran.stderr
    assert daemon.bodies(load(FETCHED)) == []


def test_a_daemon_that_reaches_no_hub_does_not_keep_this_command_from_it(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will(MODELS, [instance("m")])
    daemon.will("GET plan", NoNetwork("It reaches nobody.", why="-", fix="-"))

    user.ok("up", MODEL, "--yes")

    assert len(daemon.bodies(BEGIN)) == 1


def test_in_the_foreground_nothing_is_fetched_beside_a_daemon_that_runs(
    user: HubUser, daemon: ScriptedDaemon, hub: FakeHub
) -> None:
    hub.forget()

    ran = user.run("up", MODEL, "--foreground", "--yes")

    assert ran.returncode == 1, ran
    assert "A daemon is running already." in ran.stderr
    assert (hub.requests, daemon.asked) == ([], [])


def write_profile(user: HubUser, model: str) -> None:
    config = user.installation / "config"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(f'[profiles.p]\nmodel = "{model}"\nuse = "vision"\n')


def test_in_the_foreground_the_model_of_a_profile_is_fetched_first(user: HubUser) -> None:
    write_profile(user, MODEL)
    user.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"

    ran = user.run("up", "--profile", "p", "--foreground", "--yes")

    assert ran.returncode == 6, ran
    assert "127.0.0.1:9" in ran.stderr
    assert not (user.state / "daemon.json").exists()


def test_a_file_that_a_profile_names_and_is_gone_is_no_download(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    write_profile(user, "/nowhere/m.gguf")
    daemon.will(load("localllm"), GONE)

    ran = user.run("up", "--profile", "p", "--yes")

    assert ran.returncode == 5
    assert "It is not here." in ran.stderr
    assert nothing_was_fetched(daemon)


def test_run_says_nothing_on_stdout_but_the_answer(user: HubUser, daemon: ScriptedDaemon) -> None:
    daemon.will("POST /v1/chat/completions", GONE)

    ran = user.run("run", MODEL, "hi", "--yes")

    assert ran.stdout == ""
    assert "100%" in ran.stderr
    assert [body["then"] for body in daemon.bodies(BEGIN)] == ["serve"]


def test_a_daemon_that_looks_elsewhere_is_named_as_the_reason(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    user.environment["HF_HOME"] = str(user.home / "elsewhere")
    daemon.will(load(FETCHED), GONE)

    ran = user.run("up", MODEL, "--yes")

    assert ran.returncode == 5
    assert ran.stderr.startswith("the daemon that runs has other settings of the hub")
    assert "the daemon does not see it" in ran.stderr
    assert "localllm down" in ran.stderr
    assert nothing_was_fetched(daemon)
    assert list((user.home / "elsewhere").rglob("*.gguf"))


def test_without_a_model_and_anybody_to_ask_the_stand_in_says_what_would_be_better(
    user: HubUser, daemon: ScriptedDaemon, hub: FakeHub
) -> None:
    hub.forget()
    daemon.will(load("localllm"), a_stand_in())
    daemon.will("GET plan", a_plan_view())

    ran = user.ok("up")

    assert "a small stand-in" in ran.stderr
    assert "nobody can be asked here" in ran.stderr
    assert "qwen3-8b Q4_K_M: 4.7 GiB from unsloth/Qwen3-8B-GGUF" in ran.stderr
    assert hub.requests == []


def test_without_a_model_what_is_on_disk_and_is_the_best_is_served(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will("GET plan", a_plan_view(on_disk=True))
    daemon.will(load("qwen3-8b"), REPLY)

    user.ok("up")

    assert [body["quant"] for body in daemon.bodies(load("qwen3-8b"))] == ["Q4_K_M"]


@pytest.mark.parametrize("words", [["up"], ["up", "--yes"], ["up", "--offline"]])
def test_what_was_served_before_is_served_again_without_a_question(
    user: HubUser, daemon: ScriptedDaemon, words: list[str]
) -> None:
    (user.state / "serving.json").write_text('{"format": 1, "serving": [{"model": "m"}]}')
    daemon.will(load("localllm"), REPLY)
    daemon.will(MODELS, [instance("m")])

    user.ok(*words)

    assert not daemon.bodies("GET plan")


def test_without_a_model_a_hub_that_lacks_the_best_one_leaves_the_stand_in(
    user: HubUser, daemon: ScriptedDaemon, hub: FakeHub
) -> None:
    daemon.will(load("localllm"), a_stand_in())

    ran = user.ok("up", "--yes")

    assert "a small stand-in" in ran.stderr
    assert "why: There is no repository" in ran.stderr
    assert nothing_was_fetched(daemon)


def test_without_a_model_and_a_hub_in_reach_the_stand_in_says_so(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    user.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    daemon.will("GET plan", a_plan_view())
    daemon.will(load("localllm"), a_stand_in())

    ran = user.ok("up", "--yes")

    assert "127.0.0.1 cannot be reached" in ran.stderr
    assert "a small stand-in" in ran.stderr


def a_stand_in() -> ServeReply:
    return ServeReply(id="s", instance="m:1", already=False, stand_in=True, reason="it fits")


def a_plan_view(**more: Any) -> dict[str, Any]:
    """The catalog's choice, and one that lost."""
    nothing = dict.fromkeys(
        (
            "engine",
            "context",
            "parallel",
            "kv_type",
            "micro_batch",
            "memory",
            "quality",
            "quality_source",
            "lacks",
        )
    )
    best = {
        **nothing,
        "model": "qwen3-8b",
        "quant": "Q4_K_M",
        "format": "gguf",
        "source": {"repo": "unsloth/Qwen3-8B-GGUF", "files": [], "size": 5_027_783_488},
        "experts_on_host": 0,
        "placement": [],
        "memory_from": "formula",
        "header": "catalog",
        "on_disk": False,
        "speed": {},
        "verdict": "fits",
        "reason": "",
        "explanation": [],
        **more,
    }
    host = {**dict.fromkeys(("os_version", "cpu")), "os": "linux", "arch": "x", "cores": 1}
    host |= {"memory_total": 1, "memory_available": 1, "wsl": False, "sources": {}}
    return {
        "hardware": {"host": host, "devices": [], "warnings": []},
        "model": None,
        "use": "chat",
        "choice": None,
        "candidates": [{**best, "lacks": "is worse", "model": "x"}, best],
        "why": "",
        "advice": None,
    }
