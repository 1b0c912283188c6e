"""`localllm pull` as a shell sees it, beside a daemon that is scripted."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localllm.api.pull_views import PullErrorView, ThenView
from localllm.api.views import ServeRequest
from localllm.errors import (
    AccessRefused,
    DoesNotFit,
    LocalLLMError,
    ModelNotFound,
    NoNetwork,
    NoSpace,
    WrongContent,
)
from tests.unit.cli.a_hub_user import HubUser
from tests.unit.cli.a_pull import GIB, a_file, a_model, a_pull, a_store
from tests.unit.cli.a_scripted_daemon import GOES_AWAY, ScriptedDaemon, a_scripted_daemon

PULLS, STORE = "GET pulls", "GET store"
BEGIN, PAUSE = "POST pulls", "POST pulls/p1/pause"
DONE = a_pull(a_file(here=4 * GIB, state="done"), state="done", speed=None, left=None)


@pytest.fixture
def user(tmp_path: Path) -> HubUser:
    return HubUser(tmp_path)


@pytest.fixture
def daemon(user: HubUser) -> Iterator[ScriptedDaemon]:
    with a_scripted_daemon(user.state, user.environment) as scripted:
        scripted.will(STORE, a_store(a_model()))
        scripted.will(PULLS, [])
        yield scripted


def error(kind: type[LocalLLMError]) -> LocalLLMError:
    return kind("It is so.", why="of this", fix="do that")


def test_the_daemon_pulls_and_the_result_is_where_it_is_and_what_to_do_next(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will(BEGIN, a_pull())
    half = a_pull(a_file(here=2 * GIB), note="the hub is busy")
    daemon.will(PULLS, [], [half], [DONE])

    ran = user.ok("pull", "m", "--quant", "q4_k_m", "--context", "8192", "--use", "code")

    assert ran.stdout == (
        "m:Q4_K_M is on this disk: /cache/m.gguf (4.0 GiB)\nnext: localllm up m:Q4_K_M\n"
    )
    said = ran.stderr.splitlines()
    assert said[:2] == [
        "m Q4_K_M: 4.0 GiB from me/m-GGUF",
        "  it fits with 32768 tokens of context",
    ]
    assert [line for line in said if "50%" in line or "100%" in line or "busy" in line] == said[3:]
    [body] = daemon.bodies(BEGIN)
    asked = {k: v for k, v in body.items() if v}
    assert asked == {"model": "m", "quant": "q4_k_m", "context": 8192, "use": "code"}


def test_what_is_here_already_says_so(user: HubUser, daemon: ScriptedDaemon) -> None:
    daemon.will(BEGIN, DONE)

    ran = user.ok("pull", "m")

    assert ran.stdout.startswith("m:Q4_K_M is on this disk already: /cache/m.gguf")
    assert ran.stderr == ""


def test_a_program_gets_one_document(user: HubUser, daemon: ScriptedDaemon) -> None:
    daemon.will(BEGIN, a_pull())
    daemon.will(PULLS, [], [DONE])

    pulled = user.json("pull", "m", "--anyway")

    assert pulled == {
        "model": "m:Q4_K_M",
        "quant": "Q4_K_M",
        "repo": "me/m-GGUF",
        "commit": "c" * 40,
        "path": "/cache/m.gguf",
        "size": 4 * GIB,
        "already": False,
    }
    assert daemon.bodies(BEGIN)[0]["anyway"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [(DoesNotFit, 3), (ModelNotFound, 5), (NoNetwork, 6), (AccessRefused, 6), (NoSpace, 1)],
)
def test_what_cannot_be_pulled_ends_with_the_code_of_its_error(
    user: HubUser, daemon: ScriptedDaemon, kind: type[LocalLLMError], code: int
) -> None:
    daemon.will(BEGIN, error(kind))

    ran = user.run("pull", "m")

    assert (ran.returncode, ran.stdout) == (code, "")
    assert ran.stderr == "localllm: It is so.\n  why: of this\n  fix: do that\n"


@pytest.mark.parametrize(("kind", "code"), [(WrongContent, 6), (AccessRefused, 6), (NoSpace, 1)])
def test_a_pull_that_fails_on_the_way_ends_with_the_code_of_its_error(
    user: HubUser, daemon: ScriptedDaemon, kind: type[LocalLLMError], code: int
) -> None:
    view = PullErrorView(message=str(error(kind)), code=error(kind).code)
    daemon.will(BEGIN, a_pull())
    daemon.will(PULLS, [], [a_pull(state="failed", error=view)])

    ran = user.run("pull", "m")

    assert (ran.returncode, ran.stdout) == (code, "")
    assert ran.stderr.endswith("localllm: It is so.\n  why: of this\n  fix: do that\n")


@pytest.mark.parametrize(
    ("then", "how"),
    [([a_pull(state="paused")], "paused"), ([a_pull(state="cancelled")], "cancelled")],
)
def test_a_pull_that_somebody_else_ends_says_who_and_how_to_go_on(
    user: HubUser, daemon: ScriptedDaemon, then: Any, how: str
) -> None:
    daemon.will(BEGIN, a_pull())
    daemon.will(PULLS, [], then)

    ran = user.run("pull", "m")

    assert ran.returncode == 1
    assert f"The pull of m:Q4_K_M was {how}." in ran.stderr
    assert "localllm pull m:Q4_K_M" in ran.stderr


WAITS = ThenView(how="switch", request=ServeRequest(model="m"), reply=None, error=None)


def interrupted(user: HubUser, daemon: ScriptedDaemon) -> tuple[int, str, str]:
    """Run `pull m` and press Ctrl-C when the daemon is at it."""
    with user.start("pull", "m") as process:
        daemon.wait_until_asked(PULLS, after=BEGIN)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.mark.parametrize("before", [[], [a_pull(state="paused")], [a_pull(id="p2")]])
def test_ctrl_c_pauses_what_the_command_began_and_says_that_nothing_is_lost(
    user: HubUser, daemon: ScriptedDaemon, before: list[Any]
) -> None:
    daemon.will(BEGIN, a_pull())
    daemon.will(PULLS, before, [*before, a_pull()][-1:])
    daemon.will(PAUSE, a_pull(state="paused"))

    code, out, err = interrupted(user, daemon)

    assert (code, out) == (130, "")
    assert "what has come is kept (1.0 GiB of 4.0 GiB)" in err
    assert len(daemon.bodies(PAUSE)) == 1


def test_ctrl_c_leaves_what_somebody_else_began(user: HubUser, daemon: ScriptedDaemon) -> None:
    daemon.will(BEGIN, a_pull())
    daemon.will(PULLS, [a_pull()])

    code, out, err = interrupted(user, daemon)

    assert (code, out) == (130, "")
    assert "was begun elsewhere, and goes on in the daemon" in err
    assert daemon.bodies(PAUSE) == []


def test_a_daemon_that_ends_meanwhile_is_an_error_that_says_what_is_kept(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will(BEGIN, a_pull())
    daemon.will(PULLS, [], [a_pull()], GOES_AWAY)

    ran = user.run("pull", "m")

    assert ran.returncode == 1, ran
    assert "The daemon ended before all of m:Q4_K_M was here." in ran.stderr
    assert "what has come is kept (1.0 GiB of 4.0 GiB)" in ran.stderr
    assert "fix: the same command again" in ran.stderr


def test_a_terminal_gets_lines_that_are_drawn_over_each_other(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will(BEGIN, a_pull())
    daemon.will(PULLS, [], [a_pull(a_file(here=2 * GIB))], [DONE])

    code, shown = user.on_a_terminal("pull", "m")

    assert code == 0
    assert "\x1b[2F" in shown
    assert "50%" in shown
    assert shown.splitlines()[-1] == "next: localllm up m:Q4_K_M"


def test_a_daemon_that_asks_another_hub_is_not_asked_to_pull(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    user.environment["HF_ENDPOINT"] = "http://127.0.0.1:1"

    ran = user.run("pull", "hf:me/m-GGUF")

    assert ran.returncode == 6, ran
    assert "127.0.0.1:1" in ran.stderr
    assert daemon.asked == []


@pytest.mark.parametrize("how", ["--offline", "HF_HUB_OFFLINE"])
def test_offline_nobody_is_asked_and_it_is_said_at_once(
    user: HubUser, daemon: ScriptedDaemon, how: str
) -> None:
    words = ("pull", "hf:me/m-GGUF", *(["--offline"] if how == "--offline" else []))
    user.environment |= {} if how == "--offline" else {"HF_HUB_OFFLINE": "1"}
    begun = time.monotonic()

    ran = user.run(*words)

    assert ran.returncode == 6, ran
    assert "is not on this disk" in ran.stderr
    assert daemon.asked == []
    assert time.monotonic() - begun < 10


def test_without_a_model_what_is_under_way_is_shown(user: HubUser, daemon: ScriptedDaemon) -> None:
    daemon.will(PULLS, [a_pull()])

    assert "p1  m:Q4_K_M  fetching" in user.ok("pull").stdout
    assert user.json("pull")[0]["id"] == "p1"


def test_without_a_model_and_a_daemon_nothing_is_under_way(user: HubUser) -> None:
    ran = user.ok("pull")

    assert ran.stdout.startswith("no daemon is running, so nothing is under way")
    assert user.json("pull") == []


@pytest.mark.parametrize(
    "words", [["--quant", "Q4_K_M"], ["--cancel"], ["--limit", "3"], ["--anyway"], ["--offline"]]
)
def test_without_a_model_there_is_nothing_to_ask_for(user: HubUser, words: list[str]) -> None:
    ran = user.run("pull", *words)

    assert ran.returncode == 2
    assert "name a MODEL" in ran.stderr


@pytest.mark.parametrize("name", ["p1", "m:q4_k_m", "hf:me/m-GGUF", "me/m-GGUF:Q4_K_M"])
def test_a_pull_is_cancelled_by_what_it_is_called(
    user: HubUser, daemon: ScriptedDaemon, name: str
) -> None:
    daemon.will(PULLS, [a_pull(state="paused"), a_pull(id="p2", model="o", repo="me/o")])
    daemon.will("DELETE pulls/p1", a_pull(state="cancelled"))

    ran = user.ok("pull", name, "--cancel")

    assert ran.stdout == "the pull of m Q4_K_M is cancelled, and its half files are removed\n"
    assert daemon.bodies(BEGIN) == []
    assert user.json("pull", name, "--cancel")["state"] == "cancelled"


def test_what_is_here_and_not_served_yet_can_be_cancelled(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will(PULLS, [a_pull(state="done", then=WAITS), a_pull(id="p2", state="done")])
    daemon.will("DELETE pulls/p1", a_pull(state="done"))

    assert "it stays, and is not served" in user.ok("pull", "m", "--cancel").stdout


def test_ctrl_c_says_that_what_is_here_already_will_be_served(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will(BEGIN, a_pull(then=WAITS))
    daemon.will(PULLS, [], [a_pull(state="done", then=WAITS)])
    daemon.will(PAUSE, a_pull(state="done", then=WAITS))

    _code, _out, err = interrupted(user, daemon)

    assert "all of m:Q4_K_M is here, and the daemon goes on to serve it" in err


def test_what_may_mean_several_pulls_cancels_none(user: HubUser, daemon: ScriptedDaemon) -> None:
    other = a_pull(id="p2", model="m:Q8_0", quant="Q8_0", state="failed")
    daemon.will(PULLS, [a_pull(), other])
    daemon.will("DELETE pulls/p2", a_pull(id="p2", state="cancelled"))

    refused = user.run("pull", "m", "--cancel")
    user.ok("pull", "m", "--quant", "q8_0", "--cancel")

    assert refused.returncode == 5
    assert "m means 2 pulls that have not ended" in refused.stderr
    assert "m:Q4_K_M (p1), m:Q8_0 (p2)" in refused.stderr
    assert len(daemon.bodies("DELETE pulls/p2")) == 1


def test_a_pull_that_has_ended_is_not_there_to_be_cancelled(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will(PULLS, [DONE])

    ran = user.run("pull", "m", "--cancel")

    assert ran.returncode == 5
    assert "No pull of m has been begun that has not ended." in ran.stderr


def test_without_a_daemon_no_pull_can_be_cancelled(user: HubUser) -> None:
    ran = user.run("pull", "m", "--cancel")

    assert ran.returncode == 4
    assert "localllm gc, which removes half files a day after" in ran.stderr
