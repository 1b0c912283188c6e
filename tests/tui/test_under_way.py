"""Which switch a screen shows that was not there when it was begun."""

from __future__ import annotations

import pytest

from localllm.api.pull_views import PullErrorView, ThenView
from localllm.api.views import ServeReply, ServeRequest
from localllm.tui.switching import OfInstance, OfPull
from localllm.tui.under_way import switch_under_way
from tests.fakes import scenes
from tests.fakes.scene_parts import a_model, a_pull, an_instance, not_up

CODER = "qwen3-coder-30b-a3b"
REPLY = ServeReply(id=CODER, instance="i", already=False, stand_in=False, reason="it fits")
REFUSED = PullErrorView(message="No.", code="does_not_fit")


def a_then(how="switch", **more) -> ThenView:
    said = {"request": ServeRequest(model=CODER), "reply": None, "error": None}
    return ThenView(how=how, **{**said, **more})


def seen(*pulls, models=()):
    scene = scenes.rtx5090()
    scene.pulls = list(pulls)
    scene.models = [a_model(view) for view in models]
    return switch_under_way(scene.now(0))


@pytest.mark.parametrize("state", ["queued", "fetching", "done"])
def test_what_is_fetched_to_be_served_is_a_switch(state) -> None:
    pull = a_pull(1, state=state, then=a_then())

    found = seen(pull)

    assert found is not None
    assert (found.name, found.order, found.is_here) == (f"{CODER} Q4_K_M", OfPull(pull), False)


@pytest.mark.parametrize(
    "pull",
    [
        a_pull(1),
        a_pull(1, state="paused", then=a_then()),
        a_pull(1, state="failed", then=a_then()),
        a_pull(1, state="done", then=a_then(reply=REPLY)),
        a_pull(1, state="done", then=a_then(error=REFUSED)),
    ],
)
def test_what_is_fetched_only_or_waits_for_somebody_is_none(pull) -> None:
    assert seen(pull) is None


def test_the_newest_counts_and_a_switch_more_than_what_is_served_beside() -> None:
    pulls = [
        a_pull(9, then=a_then()),
        a_pull(10, then=a_then()),
        a_pull(11, then=a_then("serve")),
    ]

    found = seen(*pulls)

    assert found is not None
    assert found.order == OfPull(pulls[1])


@pytest.mark.parametrize("state", ["starting", "warming"])
def test_what_starts_is_a_switch(state) -> None:
    old, new = an_instance("qwen3-32b"), not_up(an_instance("qwen3-8b"), state, "it is")

    found = seen(models=[old, new])

    assert found is not None
    assert (found.name, found.is_here) == ("qwen3-8b Q4_K_M", True)
    assert found.order == OfInstance("qwen3-8b", new.instance)


def test_one_that_has_taken_over_is_one_until_those_before_it_are_gone() -> None:
    new = an_instance("qwen3-8b", current=True, gap=0.0)
    old = an_instance("qwen3-32b", state="draining")

    found = seen(models=[old, new])

    assert found is not None
    assert found.order == OfInstance("qwen3-8b", new.instance)
    assert seen(models=[new]) is None


def test_what_is_unloaded_beside_one_that_serves_is_none() -> None:
    new, old = an_instance("qwen3-8b", current=True), an_instance("b", state="draining")

    assert seen(models=[old, new]) is None


def test_nothing_is_known_before_the_first_look() -> None:
    assert switch_under_way(None) is None
