"""What an engine can do beside plain chat, asked for in a profile: real engines, real memory."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest

from localllm.engines.extras import DRAFTED_ANSWERS
from tests.fakes import vulkan_engine
from tests.fakes.a_delta_net import write_delta_net
from tests.fakes.an_adapter import write_adapter
from tests.fakes.installation import Installation
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(180)]

WIDTH = 576
"""Of SmolLM2's vectors."""


def with_profile(here: Installation, profile: str, *, settings: str = "") -> Installation:
    here.configure(f"{settings}\n[profiles.p]\ncontext = 1024\nparallel = 2\n{profile}")
    return here


def chat(here: Installation, **more: Any) -> dict[str, Any]:
    asked = {"messages": [{"role": "user", "content": "Describe a cat."}], "max_tokens": 24}
    return ask(here, "/v1/chat/completions", {**asked, "temperature": 0, **more})


def ask(here: Installation, path: str, body: dict[str, Any]) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=60)
    status, answer = post(connection, path, body)
    assert status == 200, answer
    return answer


def post(
    connection: http.client.HTTPConnection, path: str, body: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    with closing(connection):
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def text_of(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def ask_engine(here: Installation, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Ask the engine itself, over its socket."""
    (file,) = (here.state / "sockets").glob("*.sock")
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(file))
    return post(connection, path, body)


def assert_as_planned(here: Installation) -> dict[str, Any]:
    """The engine's own sum is the plan's, to one percent."""
    model = here.model()
    memory = model["memory"]
    assert model["state"] == "ready"
    assert abs(memory["measured"] - memory["predicted"]) <= 0.01 * memory["predicted"]
    return model


def test_a_draft_guesses_ahead_and_what_it_takes_is_in_the_plan(
    install: Callable[..., Installation],
) -> None:
    here = with_profile(install(), f'draft = "{smollm2()}"\ndraft_tokens = 4')

    here.ok("up", "--profile", "p")

    assert_as_planned(here)
    timings = chat(here)["timings"]
    assert timings["draft_n_accepted"] > 0  # it guesses for itself, so mostly right
    planned = here.json("plan", str(smollm2()), "--profile", "p")["candidates"][0]["memory"]
    assert planned["draft"] > planned["kv_cache"] + planned["compute"]
    assert planned["total"] == here.model()["memory"]["predicted"]


def test_a_draft_is_left_out_of_bound_answers_or_status_says_that_it_is_not(
    install: Callable[..., Installation],
) -> None:
    here = with_profile(install(), 'draft = "smollm2-135m-instruct"')
    here.ok("up", "--profile", "p")

    free, bound = chat(here), chat(here, response_format={"type": "json_object"})

    assert free["timings"]["draft_n"] > 0
    assert text_of(bound).lstrip().startswith(("{", "["))
    drafted = bound["timings"].get("draft_n", 0) > 0
    assert drafted is (DRAFTED_ANSWERS in here.model()["warnings"])


def test_a_draft_of_another_family_is_refused_before_anything_starts(
    install: Callable[..., Installation], tmp_path: Path
) -> None:
    net = write_delta_net(tmp_path / "net.gguf")
    here = with_profile(install(), f'draft = "{net}"')

    ran = here.run("up", "--profile", "p")

    assert ran.code == 2, ran
    assert "it knows 16000 tokens, the model 49152" in ran.err
    assert here.run("status").code == 0 or here.processes() == []


def test_blocks_of_the_models_own_guess_ahead(
    install: Callable[..., Installation], tmp_path: Path
) -> None:
    net = write_delta_net(tmp_path / "net.gguf")
    here = with_profile(install(), f'model = "{net}"\ndraft = "mtp"\ndraft_tokens = 2')

    here.ok("up", "--profile", "p")

    model = here.model()
    assert model["state"] == "ready"
    assert model["memory"]["measured"] <= model["memory"]["predicted"]
    assert "adding speculative implementation 'draft-mtp'" in here.ok("logs", "-n", "2000")


def test_an_adapter_changes_what_a_model_says_as_much_as_it_counts(
    install: Callable[..., Installation], tmp_path: Path
) -> None:
    # of few parts: each takes the threads of a busy processor a moment to meet
    adapter = write_adapter(tmp_path / "a.gguf", rank=16, layers=1, parts=("ffn_down",))
    here, said = install(), []

    for scale, context in ((0.0, 1024), (64.0, 2048)):
        with_profile(here, f'lora = [{{ file = "{adapter}", scale = {scale} }}]')
        here.ok("up", "--profile", "p", "--context", str(context))
        assert_as_planned(here)
        said.append(text_of(chat(here)))

    assert said[0] != said[1]


def test_flags_of_the_users_own_reach_an_engine_with_a_command_line_alone(
    install: Callable[..., Installation],
) -> None:
    here, flags = install(), 'engine_args = ["--slot-prompt-similarity", "0.25"]'
    program = vulkan_engine.program()
    settings = f'llama_server = "{program}"\nallow_cpu = true'

    refused = with_profile(here, f'engine = "xllamacpp"\n{flags}').run("up", "--profile", "p")
    with_profile(here, f'engine = "llama-server"\n{flags}', settings=settings)
    here.ok("up", "--profile", "p")

    assert refused.code == 2, refused
    assert "it can be had with llama-server, vllm, sglang" in refused.err
    model = here.model()
    assert (model["engine"], model["state"]) == ("llama-server", "ready")
    assert model["engine_args"] == ["--slot-prompt-similarity", "0.25"]
    assert "flags of your own: --slot-prompt-similarity 0.25" in here.ok("status")
    (engine,) = (p for p in here.processes() if p.name() == "llama-server")
    assert engine.cmdline()[-2:] == ["--slot-prompt-similarity", "0.25"]


def test_texts_become_vectors_however_long_they_are_up_to_the_context(
    install: Callable[..., Installation],
) -> None:
    here = with_profile(install(), 'use = "embed"\npooling = "mean"')

    here.ok("up", "--profile", "p")

    model = assert_as_planned(here)
    assert (model["speed"]["measured_tps"], model["speed"]["prefill_tps"] > 0) == (None, True)
    long = "cat " * 900  # more than a micro batch of 512 tokens
    with openai.OpenAI(base_url=f"{here.url}/v1", api_key="none", max_retries=0) as client:
        asked = {"model": "localllm", "input": ["a cat", "a car", long]}
        packed = client.embeddings.create(**asked)  # as base64, which is the client's own choice
        floats = client.embeddings.create(**asked, encoding_format="float")
        with pytest.raises(openai.BadRequestError, match=f"its have {WIDTH}"):
            client.embeddings.create(**asked, dimensions=8)
    assert [len(one.embedding) for one in packed.data] == [WIDTH] * 3
    assert packed.data[0].embedding == pytest.approx(floats.data[0].embedding, abs=1e-4)
    assert packed.usage.prompt_tokens > 900


def test_answers_are_ranked_by_a_model_that_is_to_rank(
    install: Callable[..., Installation],
) -> None:
    here = with_profile(install(), 'use = "embed"\npooling = "rank"')

    here.ok("up", "--profile", "p")

    texts = ["A cat is an animal.", "Cars need fuel."]
    asked = {"query": "What is a cat?", "documents": texts, "return_documents": True}
    answer = ask(here, "/v1/rerank", asked)
    best, other = answer["results"]
    assert best["relevance_score"] >= other["relevance_score"]
    assert [best["document"]["text"], other["document"]["text"]] == [
        texts[best["index"]],
        texts[other["index"]],
    ]
    assert len(ask(here, "/v1/rerank", {**asked, "top_n": 1})["results"]) == 1
    assert answer["usage"]["total_tokens"] > 10


def test_how_texts_become_vectors_is_asked_for_and_not_guessed(
    install: Callable[..., Installation],
) -> None:
    ran = with_profile(install(), 'use = "embed"').run("up", "--profile", "p")

    assert ran.code == 2, ran
    assert 'pooling = "mean"' in ran.err
