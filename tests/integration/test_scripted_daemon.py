"""The daemon that the screen's tests script: it speaks as the real one does, and does what it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from localllm.api.pull_views import PullRequest
from localllm.api.sync_client import DaemonClient, require_daemon
from localllm.api.views import PlanRequest, ServeRequest
from localllm.errors import Busy, LocalLLMError, ModelNotFound, NotRunning
from tests.fakes import scenes
from tests.fakes.scene_verbs import arrive
from tests.fakes.scripted_daemon import ScriptedDaemon

DEADLINE_S = 10.0
SCENES = pytest.mark.parametrize("scene", scenes.ALL.values(), ids=scenes.ALL.keys())


def until(seen: Callable[[], bool]) -> None:
    ends = time.monotonic() + DEADLINE_S
    while not seen():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.002)


def client(daemon: ScriptedDaemon) -> DaemonClient:
    return require_daemon(daemon.file)


@SCENES
def test_every_document_of_every_scene_can_be_read(
    scene: Callable[[], scenes.Scene], tmp_path: Path
) -> None:
    with ScriptedDaemon(scene(), tmp_path) as daemon:
        asked = client(daemon)
        now = asked.now()

        assert [m.view for m in now.models] == asked.models() == asked.status().models
        assert now.pulls == asked.pulls()
        assert now.requests.live == asked.requests().live
        assert asked.store(fit=True).models
        assert asked.plan(PlanRequest()).candidates
        for one in (*now.requests.live, *now.requests.recent):
            assert asked.request(one.id).id == one.id


@SCENES
def test_what_devices_hold_is_what_their_models_were_planned_to_take(
    scene: Callable[[], scenes.Scene],
) -> None:
    made = scene()

    held: dict[str, int] = {}
    for device in made.devices:
        parts = sum(one.weights + one.cache + one.other for one in device.held)
        assert device.memory_total is not None
        assert parts + (device.others or 0) <= device.memory_total
        for one in device.held:
            held[one.instance] = held.get(one.instance, 0) + one.weights + one.cache + one.other
    for view in made.instances():
        if view.state == "ready":
            assert held[view.instance] == pytest.approx(view.memory.predicted, rel=0.01)


def test_a_switch_goes_on_as_the_test_has_it(tmp_path: Path) -> None:
    with ScriptedDaemon(scenes.rtx5090(), tmp_path) as daemon:
        reply = client(daemon).switch(ServeRequest(model="qwen3-8b", context=8192))
        assert [m.view.state for m in client(daemon).now().models] == ["ready", "starting"]

        daemon.scene.move("qwen3-8b", "warming", "its first chat")
        arrive(daemon.scene, "qwen3-8b")

        (view,) = client(daemon).models()
        assert (view.instance, view.state, view.current) == (reply.instance, "ready", True)
        topics = [event.topic for event in client(daemon).events(follow=False)]
        assert topics == ["state", "state", "state", "switched"]
        assert daemon.scene.asked[0].body["context"] == 8192


def test_pulls_pins_and_unloads_are_done_and_noted(tmp_path: Path) -> None:
    with ScriptedDaemon(scenes.rtx5090(), tmp_path) as daemon:
        asked = client(daemon)
        pull = asked.pull(PullRequest(model="gpt-oss-20b")).id
        states = [do(pull).state for do in (asked.pause_pull, asked.resume_pull, asked.cancel_pull)]
        asked.pin("qwen3-32b", pinned=True)
        assert asked.models()[0].pinned
        asked.stop("qwen3-32b")
        assert asked.models() == []

        assert states == ["paused", "fetching", "cancelled"]
        verbs = [one.verb for one in daemon.scene.asked]
        assert verbs == ["pull", "pause", "resume", "cancel", "pin", "unload"]


def test_more_context_costs_more_memory_and_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with ScriptedDaemon(scenes.nothing_served(), tmp_path) as daemon:
        plans = [
            client(daemon).plan(PlanRequest(model="qwen3-32b", quant="Q4_K_M", context=context))
            for context in (8_192, 16_384)
        ]
        totals = [plan.candidates[0].memory.total for plan in plans if plan.candidates[0].memory]
        assert totals[1] - totals[0] == 8_192 * 262_144

        with pytest.raises(ModelNotFound):
            client(daemon).plan(PlanRequest(model="qwen9"))


def test_lines_and_pieces_come_as_they_are_pushed(tmp_path: Path) -> None:
    with ScriptedDaemon(scenes.rtx5090(), tmp_path) as daemon:
        daemon.scene.answer = None
        lines, said = bytearray(), list[bytes]()

        def follow() -> None:
            for chunk in client(daemon).logs("qwen3-32b", lines=2, follow=True):
                lines.extend(chunk)

        def chat() -> None:
            said.extend(client(daemon).chat(b'{"messages": [], "stream": true}'))

        threads = [threading.Thread(target=one) for one in (follow, chat)]
        for thread in threads:
            thread.start()
        until(lambda: lines.count(b"\n") == 2)
        with daemon.flooding("qwen3-32b", 1_000):
            until(lambda: lines.count(b"\n") > 200)
        daemon.scene.say("one")
        until(lambda: any(b"one" in line for line in said))
        daemon.scene.finish()
        threads[1].join(DEADLINE_S)
        assert said[-2] == b"data: [DONE]\n"

        daemon.stop()
        threads[0].join(DEADLINE_S)
        assert not any(thread.is_alive() for thread in threads)


def test_after_a_restart_it_is_found_at_another_port_with_another_token(tmp_path: Path) -> None:
    with ScriptedDaemon(scenes.rtx5090(), tmp_path) as daemon:
        before = client(daemon)
        daemon.stop()
        with pytest.raises(NotRunning):
            before.now()
        with pytest.raises(NotRunning):
            client(daemon)

        daemon.start()

        assert client(daemon).daemon.token != before.daemon.token
        assert client(daemon).now().models


def test_it_refuses_and_falls_silent_as_it_is_told(tmp_path: Path) -> None:
    with ScriptedDaemon(scenes.rtx5090(), tmp_path) as daemon:
        asked = client(daemon)
        daemon.scene.refusals["switch"] = Busy("It is full.", why="9 wait", fix="wait")
        with pytest.raises(Busy, match="It is full"):
            asked.switch(ServeRequest(model="qwen3-8b"))

        daemon.silent, answers = True, list[object]()
        thread = threading.Thread(target=lambda: answers.append(asked.now()))
        thread.start()
        thread.join(0.1)
        assert not answers
        daemon.silent = False
        thread.join(DEADLINE_S)
        assert answers


def test_it_asks_for_the_token(tmp_path: Path) -> None:
    with ScriptedDaemon(scenes.rtx5090(), tmp_path) as daemon:
        stranger = msgspec.structs.replace(client(daemon).daemon, token="another")
        with pytest.raises(LocalLLMError, match="token"):
            DaemonClient(stranger).now()
