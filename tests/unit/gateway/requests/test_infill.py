"""Completions with a suffix, in llama.cpp's words and back.

The engine's answers are recorded from xllamacpp 2026.10.11549, without its settings.
"""

from __future__ import annotations

import json

import pytest

from localllm.errors import BadRequest, EngineGone
from localllm.gateway.requests.completions import check_completion
from localllm.gateway.requests.infill import (
    Framing,
    InfillStream,
    infill_body,
    infill_document,
)
from tests.unit.gateway.requests.a_request import LIMITS, Document, a_completion, as_body

FRAMING = Framing("cmpl-1", 1_700_000_000, "coder")
TIMINGS = {"cache_n": 24, "prompt_n": 1, "prompt_ms": 18.1, "predicted_n": 2}
USAGE = {
    "prompt_tokens": 25,
    "completion_tokens": 2,
    "total_tokens": 27,
    "prompt_tokens_details": {"cached_tokens": 24},
}
LIKELY = [{"id": 198, "token": "\n", "bytes": [10], "logprob": -0.5, "top_logprobs": []}]


def an_answer(**more: object) -> bytes:
    answer = {
        "index": 0,
        "content": "\n",
        "tokens": [],
        "id_slot": 1,
        "stop": True,
        "model": "m",
        "tokens_predicted": 2,
        "tokens_evaluated": 25,
        "generation_settings": {"seed": 4294967295, "stop": [], "stream": False},
        "prompt": "<pre>def add(a, b):\n    <suf>\n\nprint(add(1, 2))\n<mid>",
        "has_new_line": True,
        "truncated": False,
        "stop_type": "eos",
        "stopping_word": "",
        "tokens_cached": 26,
        "timings": TIMINGS,
        **more,
    }
    return as_body(answer)


def an_event(**more: object) -> bytes:
    event = {"index": 0, "content": "\n", "tokens": [198], "stop": False, "id_slot": -1}
    return as_body({**event, "tokens_predicted": 1, "tokens_evaluated": 25, **more})


def events(data: bytes) -> list[Document | str]:
    texts = data.decode().removesuffix("\n\n").split("\n\n")
    told = [text.removeprefix("data: ") for text in texts]
    return [text if text == "[DONE]" else json.loads(text) for text in told]


def a_choice(text: str, finish: str | None = None, logprobs: object = None) -> Document:
    return {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish}


def framed(*choices: Document, **more: object) -> Document:
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1_700_000_000}
    return {**head, "model": "coder", "choices": list(choices), **more}


def test_prompt_and_suffix_are_what_is_before_and_after_the_gap() -> None:
    body = as_body(
        a_completion(
            suffix="return x",
            max_tokens=9,
            temperature=0.5,
            stop="\n",
            stream=True,
            stream_options={"include_usage": True},
            logprobs=2,
            echo=False,
            best_of=1,
            n=1,
            own={"a": 1},
        )
    )
    assert check_completion(body, LIMITS).is_infill

    assert json.loads(infill_body(body)) == {
        "input_prefix": "def f(",
        "input_suffix": "return x",
        "prompt": "",
        "max_tokens": 9,
        "temperature": 0.5,
        "stop": "\n",
        "stream": True,
        "n_probs": 2,
        "own": {"a": 1},
    }


def test_a_prompt_in_a_list_of_one_is_the_same() -> None:
    body = as_body({"prompt": ["def f("], "suffix": "é"})

    assert json.loads(infill_body(body)) == {
        "input_prefix": "def f(",
        "input_suffix": "é",
        "prompt": "",
    }


@pytest.mark.parametrize(
    ("stop_type", "finish"), [("eos", "stop"), ("word", "stop"), ("limit", "length")]
)
def test_a_whole_answer_is_one_of_openais(stop_type: str, finish: str) -> None:
    answer = json.loads(infill_document(an_answer(stop_type=stop_type), FRAMING))

    assert answer == framed(a_choice("\n", finish), usage=USAGE, timings=TIMINGS)


def test_probabilities_are_where_other_completions_have_them() -> None:
    answer = json.loads(infill_document(an_answer(completion_probabilities=LIKELY), FRAMING))

    assert answer["choices"] == [a_choice("\n", "stop", {"content": LIKELY})]


def test_a_stream_is_one_of_openais_and_has_its_end() -> None:
    stream = InfillStream(FRAMING, include_usage=False)

    first = stream.feed(an_event())
    assert not stream.is_complete
    last = stream.feed(an_answer(content=""))

    assert events(first) == [framed(a_choice("\n"))]
    assert events(last) == [
        framed(a_choice("", "stop"), usage=USAGE, timings=TIMINGS),
        "[DONE]",
    ]
    assert stream.is_complete


def test_usage_has_an_event_of_its_own_where_the_client_wants_it() -> None:
    stream = InfillStream(FRAMING, include_usage=True)

    assert events(stream.feed(an_answer(content="", stop_type="limit"))) == [
        framed(a_choice("", "length")),
        framed(usage=USAGE, timings=TIMINGS),
        "[DONE]",
    ]


@pytest.mark.parametrize(
    "more", [{"content": ""}, {"content": "", "prompt_progress": {"total": 25, "processed": 24}}]
)
def test_an_event_without_text_says_nothing(more: Document) -> None:
    assert InfillStream(FRAMING, include_usage=False).feed(an_event(**more)) == b""


def test_an_error_in_a_stream_is_raised() -> None:
    refusal = {"error": {"code": 400, "message": "Failed to parse tools", "type": "x"}}

    with pytest.raises(BadRequest, match="Failed to parse tools"):
        InfillStream(FRAMING, include_usage=False).feed(as_body(refusal))


@pytest.mark.parametrize("data", [b"", b"[]", b'{"content":7}', b"\xff"])
def test_what_is_no_answer_is_the_engines_fault(data: bytes) -> None:
    with pytest.raises(EngineGone):
        infill_document(data, FRAMING)
