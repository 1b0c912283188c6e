"""The workers around libraries cut and join texts as llama.cpp's server does, so all are checked alike."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from localllm.catalog.profile import read_profiles
from localllm.engine_client.chat_tokens import count_chat_tokens
from localllm.engine_client.client import EngineClient
from localllm.engine_client.interview import CHECK_TEXT, interview
from localllm.engines.base import Endpoint, LaunchSpec, Sampling
from localllm.engines.llama_cpp_python import LlamaCppPython
from localllm.engines.mlx import Mlx
from localllm.paths import bundled_profiles
from localllm.supervisor.doubts import doubts_about
from localllm.supervisor.tokenizers import known_before
from tests.a_worker import running
from tests.engine_link import EngineLink
from tests.llama_cpp_python import require_llama_cpp_python
from tests.mlx_smollm2 import mlx_smollm2
from tests.smollm2 import smollm2
from tests.unit.engines.a_serving import on_processor

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]

VOCABULARY = 49_152
(PROFILE,) = (p for p in read_profiles(bundled_profiles()) if p.answers_to("smollm2-135m"))


def spec_of(engine: Mlx | LlamaCppPython, model: Path, endpoint: Endpoint) -> LaunchSpec:
    serving = on_processor(
        model_file=model,
        context=512,
        parallel=1,
        threads=2,
        micro_batch=64,
        host_cache_bytes=0,
        sampling=Sampling(temperature=0.0),
    )
    found = engine.find()
    assert found.reason is None, found.reason
    return engine.launch(found, serving, endpoint)


@pytest.fixture(scope="module", params=["llama-cpp-python", "mlx"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    with tempfile.TemporaryDirectory(prefix="tokenize-") as folder:  # a socket's path is short
        socket = Endpoint(socket=Path(folder) / "e.sock")
        if request.param == "mlx":
            spec = spec_of(Mlx(os.environ), mlx_smollm2(), socket)
        else:
            require_llama_cpp_python()
            spec = spec_of(LlamaCppPython(os.environ), smollm2(), socket)
        with running(spec, Path(folder) / "log"):
            yield socket


def ask(endpoint: Endpoint, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    with closing(EngineLink(endpoint)) as connection:
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


@pytest.mark.anyio
async def test_its_interview_says_what_xllamacpps_does(endpoint: Endpoint) -> None:
    async with EngineClient("http://localhost", socket=endpoint.socket, key=None) as client:
        heard = await interview(client)

    assert (heard.tokens, heard.round_trip) == (PROFILE.check_tokens, True)
    assert heard.chat_prompt_tokens == 37
    assert "Monday" in heard.answer
    assert doubts_about(heard, known_before(PROFILE, Path("nowhere"), "")) == ()


@pytest.mark.anyio
async def test_a_chats_tokens_are_counted_as_its_answer_counts_them(endpoint: Endpoint) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "caf\u00e9 \U0001f642?"},
    ]
    async with EngineClient("http://localhost", socket=endpoint.socket, key=None) as client:
        counted = await count_chat_tokens(client, {"messages": messages})

    _, answer = ask(endpoint, "/v1/chat/completions", messages=messages, max_tokens=1)
    assert counted == answer["usage"]["prompt_tokens"]


def test_a_text_is_cut_by_the_models_own_tokenizer_and_joined_as_it_was(endpoint: Endpoint) -> None:
    text = "Hello , world  !\n\n\tcaf\u00e9 \U0001f642"

    status, cut = ask(endpoint, "/tokenize", content=text)
    joined = ask(endpoint, "/detokenize", tokens=cut["tokens"])

    assert (status, cut["tokens"][:3]) == (200, [19556, 3297, 905])
    assert joined == (200, {"content": text})


def test_markup_is_taken_for_its_tokens_and_told_again(endpoint: Endpoint) -> None:
    assert ask(endpoint, "/tokenize", content="<|im_start|>") == (200, {"tokens": [1]})
    assert ask(endpoint, "/detokenize", tokens=[1]) == (200, {"content": "<|im_start|>"})


def test_nothing_is_cut_into_nothing(endpoint: Endpoint) -> None:
    assert ask(endpoint, "/tokenize", content="", add_special=None) == (200, {"tokens": []})
    assert ask(endpoint, "/detokenize", tokens=[]) == (200, {"content": ""})


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/tokenize", {}, "content"),
        ("/tokenize", {"content": 5}, "content"),
        ("/tokenize", {"content": "x", "with_pieces": True}, "with_pieces"),
        ("/tokenize", {"content": "x", "parse_special": False}, "parse_special"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": "x"}, "tokens"),
        ("/detokenize", {"tokens": [VOCABULARY]}, f"below {VOCABULARY}"),
        ("/detokenize", {"tokens": [-1]}, f"below {VOCABULARY}"),
    ],
)
def test_what_is_wrong_or_cannot_be_had_is_refused_and_named(
    endpoint: Endpoint, path: str, body: dict[str, Any], named: str
) -> None:
    status, document = ask(endpoint, path, **body)

    assert (status, document["error"]["type"]) == (400, "invalid_request_error")
    assert named in document["error"]["message"]


def test_the_checked_text_is_cut_while_an_answer_is_generated(endpoint: Endpoint) -> None:
    with closing(EngineLink(endpoint)) as connection:
        body = {"prompt": "One, two,", "max_tokens": 200, "stream": True}
        connection.request("POST", "/v1/completions", json.dumps(body))
        answer = connection.getresponse()
        answer.readline()

        status, cut = ask(endpoint, "/tokenize", content=CHECK_TEXT)

        assert (status, len(cut["tokens"])) == (200, PROFILE.check_tokens)
        assert not answer.isclosed()
