"""What models, engines and hubs say reaches a terminal harmless, and a pipe as they said it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from localllm.api.event_views import EventView
from localllm.api.status_views import ErrorView, InstanceView
from localllm.api.views import PromptsView, ServeReply
from tests.unit.cli.a_hub_user import HubUser
from tests.unit.cli.a_plan import a_candidate, a_plan
from tests.unit.cli.a_scripted_daemon import ScriptedDaemon, a_scripted_daemon
from tests.unit.cli.test_render import MACHINE, a_model, a_status

ESCAPE = "\x1b]0;title\x07\x1b[2J\x9b2J\u202e"
REPLY = ServeReply(id="m", instance="m:1", already=False, stand_in=False, reason="it is the best")
CHAT, LOAD = "POST /v1/chat/completions", "POST models/m/load"


@pytest.fixture
def user(tmp_path: Path) -> HubUser:
    return HubUser(tmp_path)


@pytest.fixture
def daemon(user: HubUser) -> Iterator[ScriptedDaemon]:
    with a_scripted_daemon(user.state, user.environment) as scripted:
        scripted.will(LOAD, REPLY)
        scripted.will("GET pulls", [])
        scripted.will("GET models", [a_model(id="m", instance="m:1")])
        yield scripted


def steers(shown: str) -> bool:
    return any(mark in shown for mark in ("\x1b]", "\x1b[2J", "\x07", "\x9b", "\u202e"))


def a_failed_model() -> InstanceView:
    return a_model(
        id="m",
        state="failed",
        warnings=[f"warning {ESCAPE}"],
        prompts=PromptsView(kept="not", why=f"prompts {ESCAPE}"),
        error=ErrorView(reason=f"reason {ESCAPE}", log=[f"log {ESCAPE}"]),
    )


def a_chat(*deltas: str, line: bytes = b"") -> bytes:
    chunks = [{"choices": [{"delta": {"content": text}}]} for text in deltas]
    lines = [b"data:" + msgspec.json.encode(chunk) for chunk in chunks]
    return b"\n\n".join([*lines, line, b"data: [DONE]", b""])


def test_status_shows_what_went_wrong_and_obeys_nothing_of_it(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    status = replace(a_status(a_failed_model()), warnings=[f"machine {ESCAPE}"])
    daemon.will("GET status", status)

    _, shown = user.on_a_terminal("status")

    for said in ("machine", "warning", "prompts", "reason", "log"):
        assert f"{said} ?]0;title??[2J?2J?" in shown
    assert not steers(shown)


def test_a_plan_is_harmless_also_where_it_has_colours(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    user.environment["TERM"] = "xterm"
    said = {name: f"{name}{ESCAPE}" for name in ("model", "quant", "engine", "kv_type", "reason")}
    kept = PromptsView(kept="not", why=f"why{ESCAPE}")
    candidates = [a_candidate(**said, prompts=kept), a_candidate(**said, lacks=f"lacks{ESCAPE}")]
    machine = replace(MACHINE, warnings=[f"note{ESCAPE}"])
    plan = a_plan(*candidates, why=f"best{ESCAPE}", advice=f"advice{ESCAPE}", hardware=machine)
    daemon.will("GET plan", plan)

    _, shown = user.on_a_terminal("plan", "m")

    assert "\x1b[32mfits" in shown
    for word in ("quant", "reason", "why", "lacks", "note", "best", "advice"):
        assert f"{word}?]0;title?" in shown
    assert not steers(shown)


def test_an_event_is_one_harmless_line(user: HubUser, daemon: ScriptedDaemon) -> None:
    event = EventView(seq=1, at=0.0, topic="evicted", instance="m:1", why=f"why {ESCAPE}\nx")
    daemon.will("GET events", b"data: " + msgspec.json.encode(event) + b"\n\n")

    ran = user.ok("events")

    assert ran.stdout.endswith("  evicted               m:1  why ?2J??x\n")


def test_a_log_is_harmless_on_a_terminal_and_as_it_was_written_elsewhere(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will("GET models/m/logs", f"loading {ESCAPE}\n 10%\r100%\nlast".encode())

    _, shown = user.on_a_terminal("logs", "m")
    copied = user.ok("logs", "m").stdout

    assert shown.splitlines() == ["loading ?2J?", "100%", "last"]
    assert copied.startswith(f"loading {ESCAPE}\n")


def test_an_answer_is_harmless_on_a_terminal_with_its_lines_and_tabs(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    daemon.will(CHAT, a_chat("one\n\ttwo ", ESCAPE, " three"))

    _, shown = user.on_a_terminal("run", "m", "hi")
    copied = user.ok("run", "m", "hi").stdout

    assert shown.replace("\r\n", "\n").endswith("one\n\ttwo ?]0;title??[2J?2J? three\n")
    assert not steers(shown)
    assert copied == f"one\n\ttwo {ESCAPE} three\n"


@pytest.mark.parametrize(
    "line", [b"data: no json", b'data: {"choices":[{"delta":null}]}', b": a comment"]
)
def test_a_line_of_the_answers_stream_that_says_nothing_ends_nothing(
    user: HubUser, daemon: ScriptedDaemon, line: bytes
) -> None:
    daemon.will(CHAT, a_chat("all of it", line=line))

    assert user.ok("run", "m", "hi").stdout == "all of it\n"


def test_an_answer_that_breaks_off_says_why_and_so_does_one_whose_context_is_full(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    broken: Any = {"error": {"message": f"The engine died.\n  {ESCAPE}"}}
    full: Any = {"choices": [{"delta": {}, "finish_reason": "length"}]}
    daemon.will(
        CHAT,
        a_chat("begun", line=b"data: " + msgspec.json.encode(broken)),
        a_chat("begun", line=b"data: " + msgspec.json.encode(full)),
    )

    _, shown = user.on_a_terminal("run", "m", "hi")
    cut = user.ok("run", "m", "hi")

    assert "localllm: The engine died.\r\n  why: ?]0;title??[2J?2J?\r\n" in shown
    assert (cut.stdout, cut.stderr) == ("begun\n", "cut off: the context is full\n")


def test_one_that_is_gone_while_it_is_waited_for_is_told_with_what_was_decided_of_it(
    user: HubUser, daemon: ScriptedDaemon
) -> None:
    event = EventView(seq=1, at=0.0, topic="evicted", instance="m:1", why="evicted for n")
    daemon.will("GET models", [a_model(id="m", instance="m:1", state="starting")], [])
    daemon.will("GET events", b"data: " + msgspec.json.encode(event) + b"\n\n")

    ran = user.run("run", "m", "hi")

    assert ran.stderr.endswith(
        "localllm: m is not served any more.\n  why: evicted for n\n  fix: localllm logs m\n"
    )
