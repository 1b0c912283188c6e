"""The list of models: what is put together of plan, disk, what runs and what comes. No screen."""

from __future__ import annotations

import msgspec
import pytest

from localllm.api.views import PlanRequest
from localllm.errors import NoNetwork
from localllm.tui import choosing as c
from localllm.tui.choices import (
    Choice,
    Wish,
    key_of,
    merge,
    next_context,
    pull_request,
    serve_request,
)
from localllm.tui.filtering import matching
from localllm.tui.first_choices import best_three
from tests.fakes import scenes
from tests.fakes.scene_parts import a_model, a_pull, an_instance, gib
from tests.fakes.scene_plans import plan_on, store_of


def a_plan(scene, **wanted):
    return plan_on(scene.hardware, PlanRequest(**wanted))


def all_of(scene, **more):
    store = more.get("store", scene.shown_store())
    return merge(a_plan(scene), store, scene.now(10))


def by_key(choices):
    return {one.key: one for one in choices}


def names(choices):
    return [f"{one.name} {one.quant}" for one in choices]


def test_what_is_served_comes_first_then_the_disk_then_the_best_of_the_catalog() -> None:
    choices = all_of(scenes.rtx5090())

    assert names(choices) == [
        "qwen3-32b Q4_K_M",  # serves
        "qwen3-8b Q8_0",  # on disk
        "smollm2-135m-instruct Q8_0",
        "qwen3-coder-30b-a3b Q6_K",  # the planner's choice
        "qwen3-32b Q6_K",
        "gpt-oss-20b Q8_0",
        "llama-3.3-70b IQ2_M",
    ]
    assert [one.is_best for one in choices].index(True) == 3


def test_a_model_that_does_not_fit_comes_after_those_that_do() -> None:
    assert names(all_of(scenes.no_gpu()))[-1] == "llama-3.3-70b Q8_0"


@pytest.mark.parametrize("what", ["plan", "store", "now"])
def test_what_has_come_first_is_shown_without_the_rest(what) -> None:
    scene = scenes.rtx5090()
    given = {"plan": a_plan(scene), "store": scene.shown_store(), "now": scene.now(10)}

    choices = merge(*(given[name] if name == what else None for name in given))

    assert choices


def test_a_served_model_shows_what_it_has_and_what_was_measured_of_it() -> None:
    served = all_of(scenes.rtx5090())[0]

    assert (served.context, served.speed.tps, served.speed.is_measured) == (32_768, 58.4, True)
    assert served.takes.weights_bytes == gib(18.5)
    assert served.takes_bytes == served.takes.total_bytes


def test_of_two_instances_of_a_model_the_first_is_shown() -> None:
    scene = scenes.rtx5090()
    long = an_instance(context=131_072, lane="long")
    scene.models = [*scene.models, a_model(long)]

    assert by_key(all_of(scene))["qwen3-32b:q4_k_m"].served.lane == "main"


def test_a_download_under_way_is_shown_with_its_model() -> None:
    scene = scenes.rtx5090()
    scene.pulls = [a_pull(1), a_pull(2, "gpt-oss-20b", state="failed")]

    choices = by_key(all_of(scene))

    assert choices["qwen3-coder-30b-a3b:q4_k_m"].pull.id == "p1"
    assert choices[key_of("gpt-oss-20b", "Q8_0")].pull is None


def test_a_model_whose_files_are_missing_is_not_here() -> None:
    scene = scenes.rtx5090()
    store = store_of([])
    broken = [
        msgspec.structs.replace(one, missing=["model-00002.gguf"])
        if one.name.startswith("smollm2")
        else one
        for one in store.models
    ]

    choices = by_key(all_of(scene, store=msgspec.structs.replace(store, models=broken)))

    assert not choices["smollm2-135m-instruct:q8_0"].is_here


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", 7),
        ("coder", 1),
        ("q32 ", 2),  # letters in their order, where no name has them together
        ("qwen332", 2),
        ("QWEN3-32B q4km", 1),
        ("disk", 2),
        ("serving", 1),
        ("70b q8", 0),
        ("...", 7),
    ],
)
def test_the_filter_takes_parts_of_names_without_their_dots(text, found) -> None:
    assert len(matching(all_of(scenes.rtx5090()), text)) == found


@pytest.mark.parametrize(
    ("context", "trained", "larger", "then"),
    [
        (32_768, None, True, 65_536),
        (26_368, None, True, 32_768),
        (26_368, None, False, 16_384),
        (32_768, None, False, 16_384),
        (32_768, 40_960, True, 40_960),
        (40_960, 40_960, True, 40_960),
        (600, None, False, 512),
        (512, None, False, 512),
        (None, None, True, None),
    ],
)
def test_a_context_goes_by_powers_of_two_as_far_as_the_model_was_trained(
    context, trained, larger, then
) -> None:
    assert next_context(context, trained, larger=larger) == then


def a_row(scene, key, known=None):
    known = known or c.Choosing(plan=a_plan(scene), store=scene.shown_store())
    return next(row for row in c.rows_of(known, scene.now(10), "") if row.base.key == key), known


CODER, SERVED, ON_DISK = "qwen3-coder-30b-a3b:q6_k", "qwen3-32b:q4_k_m", "qwen3-8b:q8_0"


def test_a_wish_dims_the_old_figures_until_the_plan_has_come() -> None:
    scene = scenes.rtx5090()
    row, known = a_row(scene, CODER)

    known = c.with_quant_step(known, row, 1)
    waiting, _ = a_row(scene, CODER, known)
    answer = a_plan(scene, model="qwen3-coder-30b-a3b")
    told, _ = a_row(scene, CODER, c.with_plan(known, waiting.lacks, answer))

    assert waiting.is_stale
    assert waiting.lacks == ("qwen3-coder-30b-a3b", None)
    assert waiting.shown.takes == row.shown.takes
    assert not told.is_stale
    assert (told.shown.quant, told.shown.context) == ("Q4_K_M", 131_072)


def test_steps_before_the_plan_has_come_are_not_lost() -> None:
    scene = scenes.rtx5090()
    row, known = a_row(scene, CODER)
    known = c.with_quant_step(known, row, 1)
    row, _ = a_row(scene, CODER, known)
    known = c.with_quant_step(known, row, 1)

    answer = a_plan(scene, model="qwen3-coder-30b-a3b")
    told, _ = a_row(scene, CODER, c.with_plan(known, ("qwen3-coder-30b-a3b", None), answer))

    assert told.shown.quant == "IQ2_M"


def test_once_the_plan_is_there_another_quantization_asks_nobody() -> None:
    scene = scenes.rtx5090()
    row, known = a_row(scene, CODER)
    question = ("qwen3-coder-30b-a3b", None)
    known = c.with_plan(known, question, a_plan(scene, model=question[0]))

    known = c.with_quant_step(known, row, 1)
    row, _ = a_row(scene, CODER, known)
    known = c.with_quant_step(known, row, -1)
    row, _ = a_row(scene, CODER, known)

    assert (row.lacks, row.shown.quant) == (None, "Q6_K")


def test_what_cannot_be_told_is_told_and_refused() -> None:
    scene = scenes.rtx5090()
    row, known = a_row(scene, CODER)
    known = c.with_context(known, row, 8_192)
    error = NoNetwork("The hub does not answer.", why="no route to it", fix="look at the cable")

    row, _ = a_row(scene, CODER, c.with_plan(known, (row.base.name, 8_192), error))

    assert "no route to it" in c.refusal(row)


def test_what_is_asked_for_is_what_is_shown() -> None:
    scene = scenes.rtx5090()
    coder, served, disk = (a_row(scene, key)[0].shown for key in (CODER, SERVED, ON_DISK))
    only_disk = merge(None, scene.shown_store(), None)[0]

    assert _said(serve_request(coder, Wish())) == ("qwen3-coder-30b-a3b", "Q6_K", None)
    assert _said(pull_request(coder, Wish(context=4_096))) == (coder.name, "Q6_K", 4_096)
    assert _said(serve_request(disk, Wish())) == ("qwen3-8b", "Q8_0", None)
    assert _said(serve_request(only_disk, Wish())) == ("qwen3-32b:Q4_K_M", None, None)
    assert _said(serve_request(served, Wish())) == ("qwen3-32b", None, None)
    assert _said(serve_request(served, Wish(context=8_192))) == ("qwen3-32b", None, 8_192)


@pytest.mark.parametrize("path", ["/models/a.gguf", "~/a.gguf", "./a.gguf"])
def test_the_path_of_a_file_is_asked_for_as_it_stands(path) -> None:
    file = Choice(path, "Q4_1", path, on_disk=True)  # a plan has told its quantization

    assert _said(serve_request(file, Wish())) == (path, None, None)
    assert _said(pull_request(file, Wish())) == (path, None, None)


def _said(request):
    return request.model, request.quant, request.context


def test_an_address_of_the_hub_is_a_choice_of_its_own() -> None:
    scene = scenes.rtx5090()
    known = c.Choosing(plan=a_plan(scene), store=scene.shown_store())

    (row,) = c.rows_of(known, scene.now(10), "hf:unsloth/some-new-GGUF")

    assert row.lacks == ("hf:unsloth/some-new-GGUF", None)
    assert c.rows_of(known, scene.now(10), "nothing like it") == ()


@pytest.mark.parametrize(
    "address", ["hf:q/w", "https://huggingface.co/q/w", "ollama:qwen3", "/q", "~/q", "./q"]
)
def test_an_address_is_tried_first_though_its_letters_are_in_names(address) -> None:
    scene = scenes.rtx5090()
    known = c.Choosing(plan=a_plan(scene), store=scene.shown_store())

    rows = c.rows_of(known, scene.now(10), f" {address} ")

    assert [row.base.ask for row in rows] == [address]


def from_the_hub(scene):
    """What is on the disk of a repository that no catalog has, and its file."""
    one = scene.shown_store().models[-1]
    return msgspec.structs.replace(
        one, name="hf:me/Tiny-GGUF:Q4_1", quant="Q4_1", repo="me/Tiny-GGUF", path="/hub/Tiny.gguf"
    )


@pytest.mark.parametrize(
    "address",
    ["hf:me/Tiny-GGUF", "hf:me/tiny-gguf:q4_1", "/hub/Tiny.gguf"],
)
def test_the_address_of_what_is_on_the_disk_means_that(address) -> None:
    scene = scenes.rtx5090()
    store = msgspec.structs.replace(store_of([]), models=[from_the_hub(scene)])
    known = c.Choosing(plan=a_plan(scene), store=store)

    rows = c.rows_of(known, scene.now(10), address)
    begun = c.rows_of(known, scene.now(10), address[:-1])

    assert [(row.base.name, row.base.on_disk) for row in rows] == [("hf:me/Tiny-GGUF", True)]
    assert [row.base.name for row in begun] == [address[:-1], "hf:me/Tiny-GGUF"]


@pytest.mark.parametrize("text", ["", "tiny-q4_1 serving", "hf:me/Tiny-GGUF:Q4_1"])
def test_what_is_served_from_the_hub_stands_there_once_and_is_found_by_both_names(text) -> None:
    scene = scenes.rtx5090()
    stored = from_the_hub(scene)
    store = msgspec.structs.replace(store_of([]), models=[stored])
    scene.models = [a_model(an_instance("tiny-q4_1", quant="Q4_1", file=stored.path))]

    rows = c.rows_of(c.Choosing(store=store), scene.now(10), text)

    assert [(row.base.name, row.base.on_disk) for row in rows] == [("hf:me/Tiny-GGUF", True)]
    assert rows[0].base.served.id == "tiny-q4_1"
    assert _said(serve_request(rows[0].shown, Wish(context=768))) == ("tiny-q4_1", None, 768)


def test_the_question_about_a_download_has_the_exact_bytes_and_the_room_there_is() -> None:
    scene = scenes.rtx5090()
    row, known = a_row(scene, CODER)

    question = c.fetching_question(row, known.store)

    assert "23.4 GiB (25,162,500,000 bytes)" in question
    assert "212.0 GiB are free" in question


def test_who_has_nothing_gets_the_best_what_is_here_and_what_comes_quickly() -> None:
    scene = scenes.nothing_served()

    found = best_three(a_plan(scene), a_plan(scene, use="code"))

    assert [(label, choice.key) for label, choice in found] == [
        ("best for chat", CODER),  # and for code: said once
        ("on this disk already", ON_DISK),
        ("fits this machine", "qwen3-32b:q6_k"),
    ]
    assert all(choice.verdict == "fits" for _, choice in found)


def test_where_an_engine_has_yet_to_be_fetched_the_best_is_the_same() -> None:
    scene = scenes.nothing_served()
    chat = a_plan(scene)
    no_engine = msgspec.structs.replace(chat, choice=None)

    assert best_three(no_engine, None) == best_three(chat, None)
    assert best_three(no_engine, None)[0][0] == "best for chat"
