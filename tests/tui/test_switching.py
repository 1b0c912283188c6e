"""A switch step by step, on a scripted daemon and without a screen."""

from __future__ import annotations

import msgspec
import pytest

from localllm.api.pull_views import PullErrorView, PullRequest
from localllm.api.status_views import ErrorView, RequestsView
from localllm.api.sync_client import require_daemon
from localllm.api.views import ServeRequest
from localllm.errors import EngineNeeded
from localllm.tui.switch_steps import Progress, Step, of_instance
from localllm.tui.switching import OfInstance, OfPull, Order, Surroundings, carry_out, with_engine
from tests.fakes.scene_parts import a_build, an_instance, gib, not_up
from tests.fakes.scene_verbs import arrive, fetch_engine, have_pulled, on_pull, serve

CODER = ServeRequest(model="qwen3-coder-30b-a3b", quant="Q6_K")
FETCH = PullRequest(model="qwen3-coder-30b-a3b", quant="Q6_K", then="switch")


class Watched:
    """Goes on with the scene at each pause: each thing in its turn."""

    def __init__(self, daemon, *then) -> None:
        self._file, self._then = daemon.file, list(then)
        self.seen: list[Progress] = []

    def run(self, order: Order) -> Progress | None:
        return carry_out(order, Surroundings(self._ask, self.seen.append, self._pause))

    def _ask(self, question):
        return question(require_daemon(self._file))

    def _pause(self) -> bool:
        if not self._then:
            return False
        self._then.pop(0)()
        return True

    @property
    def steps(self) -> list[Step]:
        return list(dict.fromkeys(progress.at for progress in self.seen))


def test_it_is_fetched_loaded_and_warm_before_it_takes_over(daemon) -> None:
    scene = daemon.scene
    new = "qwen3-coder-30b-a3b"
    watched = Watched(
        daemon,
        lambda: scene.change_pull("p1", here=gib(8.65)),
        lambda: have_pulled(scene, "p1"),
        lambda: scene.move(new, "warming", "it reads a short prompt"),
        lambda: (
            scene.move("qwen3-32b", "draining", "another takes over"),
            scene.move(new, "ready", "it answered"),
            scene.change("qwen3-32b", requests=RequestsView(active=2, waiting=0, total=9)),
        ),
        lambda: scene.drop("qwen3-32b"),
    )

    end = watched.run(FETCH)

    assert end is not None
    assert end.served is not None
    assert (end.at, end.served.id) == (Step.READY, new)
    assert watched.steps == [Step.DOWNLOAD, Step.LOAD, Step.WARM_UP, Step.SHIFT, Step.READY]
    assert any(one.note == "qwen3-32b finishes 2 requests" for one in watched.seen)
    assert 0.5 in [round(one.share, 2) for one in watched.seen if one.share is not None]
    assert [one.verb for one in scene.asked] == ["pull"]


def test_what_is_here_is_not_fetched(daemon) -> None:
    watched = Watched(daemon, lambda: arrive(daemon.scene, "qwen3-8b"))

    end = watched.run(ServeRequest(model="qwen3-8b", quant="Q8_0"))

    assert end is not None
    assert end.at is Step.READY
    assert [one.verb for one in daemon.scene.asked] == ["switch"]


def test_an_engine_that_gives_up_is_told_with_its_last_lines_and_the_cure(daemon) -> None:
    error = ErrorView(
        reason="its memory ran out", fix="a context of 16384", log=["cudaMalloc failed"]
    )

    def give_up() -> None:
        scene = daemon.scene
        view = not_up(scene.find("qwen3-8b").view, "failed", "5 times", error)
        scene.change("qwen3-8b", view=view, wanted=False)

    end = Watched(daemon, give_up).run(ServeRequest(model="qwen3-8b"))

    assert end is not None
    assert end.failed is not None
    assert end.at is Step.LOAD
    assert end.failed.why == "its memory ran out\n  | cudaMalloc failed"
    assert end.failed.fix == "a context of 16384"


def test_a_download_that_fails_is_told_as_the_daemon_tells_it(daemon) -> None:
    error = PullErrorView(
        message="It is not to be had.\n  why: its owner asks\n  fix: set HF_TOKEN",
        code="access_refused",
    )
    scene = daemon.scene

    end = Watched(daemon, lambda: scene.change_pull("p1", "failed", error=error)).run(FETCH)

    assert end is not None
    assert end.failed is not None
    assert (end.at, end.failed.code, end.failed.why) == (
        Step.DOWNLOAD,
        "access_refused",
        "its owner asks",
    )


def test_a_download_that_somebody_cancels_ends_the_switch(daemon) -> None:
    scene = daemon.scene

    end = Watched(daemon, lambda: on_pull(scene, "cancel", "p1")).run(FETCH)

    assert end is not None
    assert end.failed is not None
    assert end.failed.why == "somebody has cancelled it"


def test_a_newer_switch_ends_one_that_is_being_fetched(daemon) -> None:
    newer = {"model": "qwen3-8b"}

    end = Watched(daemon, lambda: serve(daemon.scene, "switch", None, newer)).run(FETCH)

    assert end is not None
    assert end.failed is not None
    assert end.failed.why == "something else was asked for since, or it was cancelled"


def test_what_is_here_and_is_not_served_all_the_same_says_why(daemon) -> None:
    scene = daemon.scene
    said = "It does not fit.\n  why: it is large\n  fix: a smaller one"

    def refuse() -> None:
        error = PullErrorView(message=said, code="does_not_fit")
        then = msgspec.structs.replace(scene.pulls[0].then, error=error)
        scene.change_pull("p1", "done", then=then)

    end = Watched(daemon, refuse).run(FETCH)

    assert end is not None
    assert end.failed is not None
    assert (end.failed.code, end.failed.why, end.failed.fix) == (
        "does_not_fit",
        "it is large",
        "a smaller one",
    )


def test_who_comes_back_sees_a_download_go_on_to_its_end(daemon) -> None:
    scene = daemon.scene
    Watched(daemon).run(FETCH)
    watched = Watched(daemon, lambda: have_pulled(scene, "p1"), lambda: arrive(scene, FETCH.model))

    end = watched.run(OfPull(scene.pulls[0]))

    assert end is not None
    assert end.at is Step.READY
    assert watched.steps == [Step.DOWNLOAD, Step.LOAD, Step.READY]
    assert [one.verb for one in scene.asked] == ["pull"]


def test_who_comes_back_sees_a_start_go_on_to_its_end(daemon) -> None:
    scene = daemon.scene
    Watched(daemon).run(ServeRequest(model="qwen3-8b"))
    view = scene.find("qwen3-8b").view
    watched = Watched(daemon, lambda: arrive(scene, "qwen3-8b"))

    end = watched.run(OfInstance(view.id, view.instance))

    assert end is not None
    assert end.at is Step.READY
    assert [one.verb for one in scene.asked] == ["switch"]


def test_one_that_is_taken_back_is_told_with_what_was_decided(daemon) -> None:
    scene = daemon.scene

    def take_back() -> None:
        view = scene.find("qwen3-8b").view
        scene.tell(
            "rolled back", "it did not answer in 60 s", model=view.id, instance=view.instance
        )
        scene.drop(view.instance)

    end = Watched(daemon, take_back).run(ServeRequest(model="qwen3-8b"))

    assert end is not None
    assert end.failed is not None
    assert end.failed.why == "it did not answer in 60 s"


def test_a_refusal_for_want_of_an_engine_is_the_engines_step(daemon) -> None:
    daemon.scene.refusals["switch"] = EngineNeeded("No engine.", why="none is here", fix="get one")

    end = Watched(daemon).run(CODER)

    assert end is not None
    assert (end.at, end.offer) == (Step.ENGINE, None)


def test_the_engine_that_could_be_fetched_is_offered_with_the_refusal(daemon) -> None:
    scene = daemon.scene
    scene.refusals["switch"] = EngineNeeded("No engine.", why="none is here", fix="get one")
    scene.builds = [
        a_build("old", why_not="the driver"),
        a_build("here", installed=True),
        a_build(),
    ]

    end = Watched(daemon).run(CODER)

    assert end is not None
    assert end.offer == a_build()


def test_an_engine_is_fetched_before_the_model_is_loaded(daemon) -> None:
    scene = daemon.scene
    watched = Watched(
        daemon,
        lambda: fetch_engine(scene, "p1", 50 << 20),
        lambda: fetch_engine(scene, "p1", None),
        lambda: have_pulled(scene, "p1"),
        lambda: arrive(scene, CODER.model),
    )

    end = watched.run(with_engine(CODER))

    assert end is not None
    assert end.at is Step.READY
    assert watched.steps == [Step.DOWNLOAD, Step.ENGINE, Step.LOAD, Step.READY]
    told = next(one for one in watched.seen if one.at is Step.ENGINE)
    assert (told.note, told.share) == ("50.0/200.0 MiB  llama-b6000.tar.gz", 0.25)
    [asked] = scene.asked
    assert (asked.verb, asked.body["get_engine"], asked.body["then"]) == ("pull", True, "switch")


def test_who_agrees_to_an_engine_asks_for_the_same_model_again(daemon) -> None:
    Watched(daemon).run(PullRequest(model="m", context=8192, then="serve"))
    here = ServeRequest(model="m", context=8192)

    of_pull, of_request = with_engine(OfPull(daemon.scene.pulls[0])), with_engine(here)

    same = PullRequest(model="m", context=8192, anyway=True, get_engine=True)
    assert of_pull == msgspec.structs.replace(same, then="serve")
    assert of_request == msgspec.structs.replace(same, then="switch")
    assert with_engine(FETCH) == msgspec.structs.replace(FETCH, get_engine=True)


def test_a_daemon_that_restarts_meanwhile_is_waited_for(daemon) -> None:
    scene = daemon.scene
    watched = Watched(
        daemon, daemon.stop, daemon.start, lambda: arrive(scene, "qwen3-8b"), lambda: None
    )

    end = watched.run(ServeRequest(model="qwen3-8b"))

    assert end is not None
    assert end.at is Step.READY


def test_nobody_has_to_watch(daemon) -> None:
    assert Watched(daemon).run(ServeRequest(model="qwen3-8b")) is None


@pytest.mark.parametrize(
    ("state", "step"),
    [
        ("stopped", Step.LOAD),
        ("starting", Step.LOAD),
        ("backoff", Step.LOAD),
        ("downloading", Step.DOWNLOAD),
        ("warming", Step.WARM_UP),
        ("ready", Step.READY),
    ],
)
def test_each_state_of_an_instance_is_a_step(state, step) -> None:
    view = an_instance("qwen3-8b", state=state)

    assert of_instance(view, [view]).at is step
